"""`backstay explain CODE`: an error's entry, as every face shows it."""

import re

import click

from backstay.cli.face import emit_json, output_option
from backstay.core.errors import ErrorEntry, Exit, Fault

_HOLE_ALONE = re.compile(r"\{\w+\}")
_CASE_BY_CASE = "differs from case to case; the message itself says it"
_WORDS = {
    "a": "one",
    "advice": "what to do",
    "block": "the block",
    "count": "number",
    "differences": "what differs",
    "executions": "number of executions",
    "fix": "what to do",
    "got": "what was found",
    "hint": "what is near",
    "id": "its id",
    "instead": "what to use instead",
    "kid": "key id",
    "known": "what there is",
    "marker": "file name",
    "nearest": "the nearest one",
    "op": "operator",
    "pid": "process id",
    "problem": "what is wrong",
    "problems": "each problem",
    "reason": "what the system said",
    "retry_after": "seconds to wait",
    "said": "what the server said",
    "says": "what the program says",
    "sql": "the SQL",
    "summary": "what is wrong with the request",
    "wanted": "what was expected",
    "what": "what was written",
    "where": "place in the file",
    "who": "who asks",
    "why": "reason",
}
"""What a value is called where its name alone would say too little to a reader."""


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
        f"  why: {_own_words(entry.cause)}",
        f"  fix: {_own_words(entry.fix)}",
        f"  HTTP status {entry.status}, exit code {entry.exit}"
        + (", may work when tried again" if entry.retryable else ""),
    ]
    if entry.guide:
        lines.append(f"  guide: {entry.guide}; look now: backstay doctor")
    return "\n".join(lines)


class _Named(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return f"<{_WORDS.get(key, key.replace('_', ' '))}>"


def _own_words(template: str) -> str:
    return _CASE_BY_CASE if _HOLE_ALONE.fullmatch(template) else _shown(template)


def _shown(template: str) -> str:
    """`{retry_after}` as `<seconds to wait>`: here is the entry, not one case of it."""
    try:
        return template.format_map(_Named())
    except (ValueError, LookupError):
        return template


def _nearest(code: str, known: list[str]) -> str:
    from rapidfuzz.process import extractOne

    found = extractOne(code, known)[0]
    return f"did you mean {found}? backstay explain {found}"
