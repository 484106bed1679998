"""One word from outside becomes a typed value, or a ValueError that says what was expected."""

import math
import re
import types
import typing
from enum import Enum
from pathlib import Path

from backstay.core.duration import parse_duration
from backstay.core.errors import Plain
from backstay.core.nearest import nearest
from backstay.core.settings import Secret

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_WHOLE = re.compile(r"[-+]?[0-9]+(?:_[0-9]+)*")


class MisshapenError(ValueError):
    """A list or mapping where a single value belongs, or the other way round."""


class Absent(Enum):
    """`key:` with nothing behind it in YAML: the default holds."""

    NOT_GIVEN = 0


NotGiven = Absent.NOT_GIVEN


def parse(hint: object, raw: Plain, *, duration: bool) -> object:
    """The value of type `hint` that `raw` stands for. Raises ValueError with what is expected."""
    if raw is None:
        return NotGiven
    kind = _without_none(hint)
    if typing.get_origin(kind) is tuple:
        return _several(raw)
    if isinstance(raw, (list, dict)):
        shape = "a list" if isinstance(raw, list) else "a mapping"
        raise MisshapenError(f"expected {expected(hint, duration=duration)}, not {shape}")
    if typing.get_origin(kind) is typing.Literal:
        return _one_of(typing.get_args(kind), str(raw))
    if duration:
        return _seconds(raw)
    return _scalar(kind, raw)


def expected(hint: object, *, duration: bool = False) -> str:
    """What a person should write, in words."""
    kind = _without_none(hint)
    if duration:
        return "a duration such as 300ms, 10s or 1m30s"
    if typing.get_origin(kind) is tuple:
        return "a list, or one text with commas"
    if typing.get_origin(kind) is typing.Literal:
        return "one of " + ", ".join(map(str, typing.get_args(kind)))
    return _WORDS.get(kind, "text")


def _scalar(kind: object, raw: str | float) -> object:
    text = str(raw).strip()
    if kind is bool:
        if text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE
    elif kind is int:
        if not isinstance(raw, bool) and _WHOLE.fullmatch(text):
            return int(text)
    elif kind is float:
        return _number(text)
    elif kind is Path:
        if text:
            return Path(text).expanduser()
    elif kind is Secret:
        return Secret(str(raw))
    else:
        return str(raw)
    raise ValueError(f"expected {expected(kind)}")


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError("expected a number")
    return value


def _seconds(raw: str | float) -> float:
    if isinstance(raw, str):
        return parse_duration(raw)
    return float(raw)


def _several(raw: Plain) -> tuple[str, ...]:
    if isinstance(raw, list):
        if any(isinstance(part, (list, dict)) for part in raw):
            raise ValueError("expected a list of plain texts")
        return tuple(str(part) for part in raw if part is not None)
    if isinstance(raw, dict):
        raise MisshapenError("expected a list, or one text with commas, not a mapping")
    return tuple(part.strip() for part in str(raw).split(",") if part.strip())


def _one_of(choices: tuple[str, ...], text: str) -> str:
    for choice in choices:
        if text.strip().lower() == choice.lower():
            return choice
    raise ValueError("expected one of " + ", ".join(choices) + did_you_mean(text, choices))


def did_you_mean(text: str, choices: typing.Iterable[str]) -> str:
    """`, did you mean "port"?` when something near exists, else nothing."""
    near = nearest(text, choices)
    return f", did you mean {near!r}?" if near else ""


def _without_none(hint: object) -> object:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        kinds = [part for part in typing.get_args(hint) if part is not type(None)]
        return kinds[0]
    return hint


_WORDS: dict[object, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    Path: "a path",
    Secret: "a single text",
}
