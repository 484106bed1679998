"""`reference.py FOLDER`: writes errors.md, settings.md, commands.md, troubleshooting.md and
language-limits.md from what the code declares.

Every error a user can meet is an ErrorEntry, every setting carries an Option and every command is
a click command, so the pages are found by looking through backstay instead of being kept by hand.
"""

import importlib
import importlib.metadata
import pkgutil
import sys
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType

import click
import msgspec

import backstay
from backstay.app.unsupported import refused
from backstay.core.duration import format_duration
from backstay.core.errors import ErrorEntry, index
from backstay.core.guide import Guide
from backstay.core.settings import Option, Secret
from backstay.systems import guides

PAGES = ("errors.md", "settings.md", "commands.md", "troubleshooting.md", "language-limits.md")
FAMILIES: Mapping[str, str] = {
    "CORE": "Common ground",
    "AUTH": "Who may",
    "PATCH": "patchgen",
    "UP": "`backstay up` and its commands",
    "GATE": "Gateway",
    "QUEUE": "Queue",
    "LANG": "The language",
    "APP": "The app server",
    "DOC": "Doctor",
}
NOTE = "<!-- Made by scripts/reference.py; what is written here by hand is lost. -->\n"


EXTRAS = ("opentelemetry",)
"""What only `pip install 'backstay[otel]'` brings; nothing that is documented here is declared by
the modules that need it."""


def modules() -> Iterator[ModuleType]:
    """Every module of the package; raises ImportError when one does not load."""
    for found in pkgutil.walk_packages(backstay.__path__, "backstay."):
        if found.name.endswith("__main__"):
            continue
        try:
            yield importlib.import_module(found.name)
        except ModuleNotFoundError as missing:
            if (missing.name or "").partition(".")[0] not in EXTRAS:
                raise


def entries(found: list[ModuleType]) -> dict[str, ErrorEntry]:
    """The catalogue by code. Raises ValueError when two errors share one."""
    # A Fault of its own class carries its entry as `entry_of`.
    declared = [
        getattr(value, "entry_of", value) for module in found for value in vars(module).values()
    ]
    every = {id(value): value for value in declared if isinstance(value, ErrorEntry)}
    return dict(sorted(index([every.values()]).items()))


def settings(found: list[ModuleType]) -> dict[str, type[msgspec.Struct]]:
    """Structs whose fields carry an Option, by the module that declares them."""
    specs: dict[str, type[msgspec.Struct]] = {}
    for module in found:
        for value in vars(module).values():
            if not (isinstance(value, type) and issubclass(value, msgspec.Struct)):
                continue
            if value.__module__ == module.__name__ and any(options(value)):
                specs[f"{module.__name__}.{value.__name__}"] = value
    return dict(sorted(specs.items()))


def options(spec: type[msgspec.Struct]) -> Iterator[tuple[str, Option, object]]:
    """Field, Option and default of each setting; `msgspec.NODEFAULT` where it must be given."""
    hints = typing.get_type_hints(spec, include_extras=True)
    for field in msgspec.structs.fields(spec):
        for extra in getattr(hints[field.name], "__metadata__", ()):
            if isinstance(extra, Option):
                made = field.default_factory is not msgspec.NODEFAULT
                default = field.default_factory() if made else field.default
                yield field.name, extra, default


def errors_page(catalogue: Mapping[str, ErrorEntry]) -> str:
    """One section for each error; `{name}` stands for the value it is raised with."""
    parts = [
        NOTE,
        "# Errors\n",
        (
            "Every error has a code that is never used for anything else. `backstay explain CODE`"
            " prints the same as this page; `{name}` stands for the value at hand.\n"
        ),
    ]
    for family, entry_codes in _families(catalogue).items():
        parts.append(f"## {FAMILIES.get(family, family)}\n")
        parts.extend(_error(catalogue[code]) for code in entry_codes)
    return "\n".join(parts)


def settings_page(specs: Mapping[str, type[msgspec.Struct]]) -> str:
    """One table for each process or part that is configured."""
    parts = [
        NOTE,
        "# Settings\n",
        (
            "A flag beats the environment, the environment the file, and the file the default."
            " `backstay config show` prints what is in force and where each value came from.\n"
        ),
    ]
    for name, spec in specs.items():
        parts.append(f"## {name.removeprefix('backstay.').rpartition('.')[0]}\n")
        parts.append(f"{_first_sentence(spec)}\n")
        parts.append("| setting | flag | environment | key in the file | default |")
        parts.append("|---|---|---|---|---|")
        parts.extend(_setting(*option) for option in options(spec))
        parts.append("")
    return "\n".join(parts)


def commands() -> Iterator[tuple[str, click.Command]]:
    """Each console script and below it each sub-command, by what a person types."""
    for script in sorted(importlib.metadata.entry_points(group="console_scripts")):
        if script.value.startswith("backstay."):
            yield from _with_below(script.name, importlib.import_module(script.module).command)


def commands_page(found: Iterable[tuple[str, click.Command]]) -> str:
    """The help text of each command as a terminal shows it."""
    parts = [
        NOTE,
        "# Commands\n",
        (
            "Exit codes of all: 0 done, 1 a negative result, 2 wrong usage or it could not be told,"
            " 3 not allowed, 4 not reachable, 130 interrupted.\n"
        ),
    ]
    for typed, command in found:
        with click.Context(command, info_name=typed, terminal_width=88) as context:
            parts.append(f"{'##' if ' ' not in typed else '###'} {typed}\n")
            parts.append(f"```\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


def troubleshooting_page(found: Iterable[Guide]) -> str:
    """Each guide as a person would follow it: what to look at, what it may be, what to do."""
    parts = [
        NOTE,
        "# Troubleshooting\n",
        (
            "`backstay doctor` follows these guides by itself: it asks the questions, weighs the"
            " answers and names the cause. `{name}` stands for what it finds.\n"
        ),
    ]
    parts.extend(_guide(guide) for guide in found)
    return "\n".join(parts)


def limits_page(found: Iterable[tuple[str, str, str]]) -> str:
    """What the language has and no server runs, with what to write instead."""
    parts = [
        NOTE,
        "# What a server does not run\n",
        (
            "The language is larger than the server. What stands here keeps a program from being"
            " served, by its place and with these words; it is never read and then left out."
            " `codeai validate` says the same as a warning.\n"
        ),
        "| construct | | write instead |",
        "|---|---|---|",
    ]
    parts += [f"| `{name}` | {_cell(what)} | {_cell(instead)} |" for name, what, instead in found]
    return "\n".join([*parts, ""])


def _guide(guide: Guide) -> str:
    fixes = {fix.id: fix for fix in guide.fixes}
    lines = [f"## {guide.title}\n", f"`backstay doctor --only {guide.id}` · {guide.seed}\n"]
    lines += ["Questions:\n", *(f"- {probe.asks}?" for probe in guide.probes), ""]
    lines += ["| cause | what to do |", "|---|---|"]
    for cause in guide.causes:
        todo = [fixes[name] for name in cause.fixes if name in fixes]
        steps = "<br>".join(f"{_cell(fix.says)}: `{_cell(fix.command)}`" for fix in todo)
        says = cause.says.replace("[[", "").replace("]]", "")
        lines.append(f"| {_cell(says)} | {steps} |")
    lines += ["", *([f"Else: {guide.escalation}.\n"] if guide.escalation else [])]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _with_below(typed: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield typed, command
    if isinstance(command, click.Group):
        with click.Context(command, info_name=typed) as context:
            for name in command.list_commands(context):
                below = command.get_command(context, name)
                if below is not None and not below.hidden:
                    yield from _with_below(f"{typed} {name}", below)


def _families(catalogue: Mapping[str, ErrorEntry]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {family: [] for family in FAMILIES}
    for code in catalogue:
        grouped.setdefault(code.rstrip("0123456789"), []).append(code)
    return {family: codes for family, codes in grouped.items() if codes}


def _error(entry: ErrorEntry) -> str:
    facts = f"HTTP {entry.status}, exit {entry.exit}"
    if entry.retryable:
        facts += ", worth trying again"
    lines = [f"### {entry.code}\n", f"**{_plain(entry.message)}** ({facts})\n"]
    lines += [f"- why: {_plain(entry.cause)}"] if entry.cause else []
    lines += [f"- fix: {_plain(entry.fix)}"] if entry.fix else []
    return "\n".join([*lines, ""])


def _setting(name: str, option: Option, default: object) -> str:
    cells = [
        f"**{name}**: {_plain(option.help)}",
        _code(option.flag),
        ", ".join(_code(one) for one in option.env),
        _code(option.key or name),
        _default(default, option),
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(value: object, option: Option) -> str:
    if value is msgspec.NODEFAULT:
        return "must be given"
    if value is None or isinstance(value, Secret) or value in ("", ()):
        return "unset"
    if option.duration and isinstance(value, int | float):
        return _code(format_duration(float(value)))
    if isinstance(value, bool):
        return _code(str(value).lower())
    return _code(", ".join(map(str, value)) if isinstance(value, tuple) else str(value))


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _plain(template: str) -> str:
    # Angle brackets would be taken for HTML.
    return template.replace("<", "&lt;").replace(">", "&gt;")


def _first_sentence(spec: type[msgspec.Struct]) -> str:
    words = " ".join((spec.__doc__ or "").split())
    return words.split(". ")[0].rstrip(".") + "." if words else ""


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: reference.py FOLDER", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    found = list(modules())
    pages = (
        errors_page(entries(found)),
        settings_page(settings(found)),
        commands_page(commands()),
        troubleshooting_page(guides()),
        limits_page(refused()),
    )
    folder.mkdir(parents=True, exist_ok=True)
    for page, text in zip(PAGES, pages, strict=True):
        (folder / page).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
