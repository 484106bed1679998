"""How `settings.load` works: fields in, the outside's words in, values with their places out.

Every problem becomes one line `PLACE: what is wrong, what is expected`; the lines are raised
together, because a person who mends one setting wants to know about the others.
"""

import typing
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from backstay.core.errors import Fault, Plain
from backstay.core.faults import SETTINGS_INVALID
from backstay.core.settings import Flag, Given, Loaded, Option, S, Secret, Source, Value
from backstay.core.settings_parse import NotGiven, expected, parse

if typing.TYPE_CHECKING:
    from backstay.core.settings_yaml import Entry


class Field(msgspec.Struct, frozen=True):
    """One declared setting."""

    name: str
    hint: object
    option: Option
    meta: tuple[msgspec.Meta, ...]
    default: object
    required: bool

    @property
    def key(self) -> str:
        return self.option.key or self.name

    @property
    def secret(self) -> bool:
        return self.hint is Secret or Secret in typing.get_args(self.hint)


class Found(msgspec.Struct, frozen=True):
    """A word from outside, before it is understood."""

    raw: Plain
    source: Source
    where: str
    called: str


def fill(spec: type[S], given: Given) -> Loaded[S]:
    """See `settings.load`."""
    fields = fields_of(spec)
    entries, problems, complete = _file(given.file, fields)
    values: list[Value] = []
    for field in fields:
        found = _find(field, given, entries)
        if found is None:
            # A file that does not parse might have held it: one problem, not two.
            if field.required and complete:
                problems.append(f"{_ways(field)}: required, and not given")
            values.append(Value(field.name, field.default, "default", ""))
            continue
        try:
            value = _understand(field, found.raw)
        except ValueError as bad:
            problems.append(_wrong(field, found, str(bad)))
        else:
            values.append(Value(field.name, value, found.source, found.where))
    if not problems:
        settings = spec(**{value.name: value.value for value in values})
        problems.extend(_own_problems(settings))
        if not problems:
            return Loaded(settings=settings, values=tuple(values))
    lines = "\n".join(f"  {problem}" for problem in problems)
    raise Fault(SETTINGS_INVALID, count=len(problems), problems=lines, list=[*problems])


def fields_of(spec: type[msgspec.Struct]) -> list[Field]:
    """The declared settings of a Struct; a field without an `Option` is not a setting."""
    hints = typing.get_type_hints(spec, include_extras=True)
    found: list[Field] = []
    for info in msgspec.structs.fields(spec):
        hint, *extras = typing.get_args(hints[info.name]) or (None,)
        option = next((extra for extra in extras if isinstance(extra, Option)), None)
        if option is None:
            continue
        default = info.default
        if info.default_factory is not msgspec.NODEFAULT:
            default = info.default_factory()
        meta = tuple(extra for extra in extras if isinstance(extra, msgspec.Meta))
        required = default is msgspec.NODEFAULT
        found.append(Field(info.name, hint, option, meta, None if required else default, required))
    return found


def _file(path: Path | None, fields: list[Field]) -> tuple[Mapping[str, "Entry"], list[str], bool]:
    """Entries of the YAML file by dotted key, the problems it has, and whether it was read."""
    if path is None:
        return {}, [], True
    # A command without a file starts faster without a YAML library.
    from backstay.core.settings_yaml import UnusableFileError, read_yaml

    try:
        entries, problems = read_yaml(path, {field.key for field in fields})
    except UnusableFileError as problem:
        return {}, [str(problem)], False
    return entries, problems, True


def _find(field: Field, given: Given, entries: Mapping[str, "Entry"]) -> Found | None:
    option = field.option
    for typed in (option.flag, option.flag.lstrip("-").replace("-", "_"), field.name):
        raw = _typed(given.flags.get(typed)) if typed else None
        if raw is not None:
            called = option.flag or f"--{field.name.replace('_', '-')}"
            return Found(raw, "flag", called, called)
    for name in option.env:
        text = given.env.get(name, "")
        # An empty variable is how compose files and shells say "not set".
        if text != "":
            return Found(text, "env", name, f"environment variable {name}")
    entry = entries.get(field.key)
    if entry is not None:
        where = f"{given.file.name if given.file else ''}:{entry.line}"
        return Found(entry.value, "file", where, f"{given.file}:{entry.line}: key {field.key}")
    return None


def _typed(flag: Flag) -> Plain:
    """A flag as click gives it: one that may be repeated is a tuple, empty when not typed."""
    if isinstance(flag, tuple):
        return [*flag] or None
    return str(flag) if isinstance(flag, Path) else flag


def _understand(field: Field, raw: Plain) -> object:
    value = parse(field.hint, raw, duration=field.option.duration)
    if value is NotGiven:
        return field.default
    for meta in field.meta:
        hint = typing.cast("type[object]", typing.Annotated[type(value), meta])
        try:
            msgspec.convert(value, hint)
        except msgspec.ValidationError as bad:
            text = str(bad).replace("`", "").removeprefix("Expected ")
            raise ValueError(f"expected {text}") from bad
    return value


def _wrong(field: Field, found: Found, reason: str) -> str:
    if field.secret:
        return f"{found.called}: the value (not shown) is not {expected(field.hint)}"
    return f"{found.called}: {_quoted(found.raw)}: {reason}"


def _quoted(raw: Plain) -> str:
    text = raw if isinstance(raw, str) else msgspec.json.encode(raw).decode()
    return f"{text[:80]!r}"


def _ways(field: Field) -> str:
    """How a setting can be given, for the message that it was not."""
    option = field.option
    ways = [f"key {field.key}"]
    if option.env:
        ways.insert(0, f"environment variable {option.env[0]}")
    if option.flag:
        ways.insert(0, option.flag)
    return " or ".join(ways)


def _own_problems(settings: msgspec.Struct) -> Iterable[str]:
    judge = getattr(settings, "problems", None)
    return judge() if callable(judge) else ()
