"""`backstay explain CODE`: an error's entry, as every face shows it."""

import click

from backstay.cli.face import emit_json, output_option
from backstay.core.errors import ErrorEntry, Exit, Fault


@click.command("explain")
@click.argument("code")
@output_option
def command(code: str, output: str) -> int:
    """What an error code means, why it happens and what to do."""
    from backstay.up.catalogue import find, known_codes
    from backstay.up.errors import NO_SUCH_CODE

    entry = find(code.upper())
    if entry is None:
        raise Fault(NO_SUCH_CODE, code=code, nearest=_nearest(code.upper(), known_codes()))
    if output == "json":
        emit_json(entry)
    else:
        click.echo(_text(entry))
    return Exit.OK


def _text(entry: ErrorEntry) -> str:
    lines = [
        f"{entry.code}  {_shown(entry.message)}",
        f"  why: {_shown(entry.cause)}",
        f"  fix: {_shown(entry.fix)}",
        f"  HTTP status {entry.status}, exit code {entry.exit}"
        + (", may work when tried again" if entry.retryable else ""),
    ]
    if entry.guide:
        lines.append(f"  guide: {entry.guide}; look now: backstay doctor")
    return "\n".join(lines)


class _Named(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return f"<{key}>"


def _shown(template: str) -> str:
    """`{port}` as `<port>`: here is the entry, not one case of it."""
    try:
        return template.format_map(_Named())
    except (ValueError, LookupError):
        return template


def _nearest(code: str, known: list[str]) -> str:
    from rapidfuzz.process import extractOne

    found = extractOne(code, known)[0]
    return f"did you mean {found}? backstay explain {found}"
