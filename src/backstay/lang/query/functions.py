"""The functions of a query: what they take, what they give, and their SQL on both databases.

Each is chosen so that both answer alike: letters are folded and trimmed as ASCII, halves are
rounded away from zero, and times are taken apart in UTC.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from backstay.lang.columns import Dialect
from backstay.lang.program import DecimalType, Type
from backstay.lang.query.numbers import DATE, FLOAT, INT, STRING, scale_of
from backstay.lang.query.slots import Typed
from backstay.lang.query.stored import type_word

Takes = Literal["text", "number", "moment", "whole"]
Made = tuple[str, Type]


class Function(msgspec.Struct, frozen=True):
    """`takes` one kind a place, the last `optional` of them may be missing; `says` is its line in
    the reference. `make` gets the values (a whole number as it is written) and the dialect."""

    takes: tuple[Takes, ...]
    says: str
    make: Callable[[Typed, int, Dialect], Made]
    optional: int = 0


def _folded(word: str) -> Callable[[Typed, int, Dialect], Made]:
    def make(value: Typed, _: int, dialect: Dialect) -> Made:
        collated = ' COLLATE "C"' if dialect == "postgres" else ""
        return f"{word}({value.text}{collated})", STRING

    return make


def _trim(value: Typed, _: int, dialect: Dialect) -> Made:
    return f"{'btrim' if dialect == 'postgres' else 'trim'}({value.text})", STRING


def _length(value: Typed, _: int, dialect: Dialect) -> Made:
    return f"length({value.text}){'::bigint' if dialect == 'postgres' else ''}", INT


def _abs(value: Typed, _: int, _dialect: Dialect) -> Made:
    return f"abs({value.text})", value.kind


def _round(value: Typed, places: int, dialect: Dialect) -> Made:
    word, scale = type_word(value.kind), scale_of(value.kind)
    if word == "float":
        factor = f"{10**places}::double precision" if dialect == "postgres" else f"{10**places}.0"
        up = f"floor({value.text} * {factor} + 0.5) / {factor}"
        down = f"-floor(-({value.text}) * {factor} + 0.5) / {factor}"
        # Adding zero takes the sign from a zero.
        return f"(CASE WHEN {value.text} < 0 THEN {down} ELSE {up} END + 0.0)", FLOAT
    if scale <= places:
        return value.text, value.kind
    kind = DecimalType(38, places) if places else INT
    if dialect == "postgres":
        return f"round({value.text}, {places}){'' if places else '::bigint'}", kind
    unit = 10 ** (scale - places)
    half = f"(abs({value.text}) + {unit // 2}) / {unit}"
    return f"(CASE WHEN {value.text} < 0 THEN -({half}) ELSE {half} END)", kind


def _whole(word: Literal["floor", "ceil"]) -> Callable[[Typed, int, Dialect], Made]:
    def make(value: Typed, _: int, dialect: Dialect) -> Made:
        if type_word(value.kind) == "int":
            return value.text, INT
        if dialect == "postgres":
            return f"{word}({value.text})::bigint", INT
        if type_word(value.kind) == "float":
            return f"CAST({word}({value.text}) AS INTEGER)", INT
        unit = 10 ** scale_of(value.kind)
        up = unit - 1 if word == "ceil" else 0
        return _floored(f"({value.text} + {up})", unit), INT

    return make


def _floored(text: str, unit: int) -> str:
    """SQLite divides whole numbers towards zero; this goes down."""
    rest = f"(({text} % {unit} + {unit}) % {unit})"
    return f"(({text} - {rest}) / {unit})"


def _day(value: Typed, _: int, dialect: Dialect) -> Made:
    if type_word(value.kind) == "date":
        return value.text, DATE
    if dialect == "postgres":
        return f"({value.text} AT TIME ZONE 'UTC')::date", DATE
    return f"date({_floored(value.text, 1_000_000)}, 'unixepoch')", DATE


def _part(word: str, code: str) -> Callable[[Typed, int, Dialect], Made]:
    def make(value: Typed, _: int, dialect: Dialect) -> Made:
        dated = type_word(value.kind) == "date"
        if dialect == "postgres":
            moment = f"{value.text}::timestamp" if dated else f"({value.text} AT TIME ZONE 'UTC')"
            return f"extract({word} FROM {moment})::bigint", INT
        moment = value.text
        if not dated:
            moment = f"{_floored(value.text, 1_000_000)}, 'unixepoch'"
        return f"CAST(strftime('{code}', {moment}) AS INTEGER)", INT

    return make


FUNCTIONS: Mapping[str, Function] = {
    "lower": Function(("text",), "small letters, of A to Z", _folded("lower")),
    "upper": Function(("text",), "capital letters, of a to z", _folded("upper")),
    "trim": Function(("text",), "without spaces at both ends", _trim),
    "length": Function(("text",), "the number of characters", _length),
    "abs": Function(("number",), "without its sign", _abs),
    "round": Function(
        ("number", "whole"), "to whole numbers, or to so many digits", _round, optional=1
    ),
    "floor": Function(("number",), "the whole number below", _whole("floor")),
    "ceil": Function(("number",), "the whole number above", _whole("ceil")),
    "date": Function(("moment",), "the day of a time, in UTC", _day),
    "year": Function(("moment",), "the year of a time or day", _part("year", "%Y")),
    "month": Function(("moment",), "1 to 12", _part("month", "%m")),
    "day": Function(("moment",), "1 to 31", _part("day", "%d")),
    "hour": Function(("moment",), "0 to 23; 0 of a day", _part("hour", "%H")),
}
"""`coalesce`, `now`, `today` and the aggregates have shapes of their own."""

SPECIAL: Mapping[str, str] = {
    "coalesce": "the first of its values that is not null",
    "now": "the time at which the query runs",
    "today": "the day on which it runs, in UTC",
}
ALIASES: Mapping[str, str] = {"len": "length", "ceiling": "ceil"}
