"""The places of a statement that take values, filled at once or when it is run.

A slot knows its column's type and the form that the operator wants: a text to look for is escaped,
a pattern is put into the database's own spelling, a list travels as one JSON text.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Literal

import msgspec

from backstay.lang.columns import Dialect
from backstay.lang.program import ScalarType, Type
from backstay.lang.query import errors as e
from backstay.lang.query.stored import BY_TEXT, cast, type_word
from backstay.lang.query.tree import Place, Value
from backstay.lang.query.values import (
    SqlValue,
    Unfit,
    json_item,
    moment,
    name_of,
    store,
)

Form = Literal[
    "value",
    "contains",
    "startswith",
    "endswith",
    "like",
    "ilike",
    "fuzzy",
    "list",
    "item",
    "count",
    "now",
]
_BOTH, _AFTER, _BEFORE = "%{}%", "{}%", "%{}"
_AROUND: Mapping[str, str] = {"contains": _BOTH, "startswith": _AFTER, "endswith": _BEFORE}
_INT = ScalarType("int")


class Typed(msgspec.Struct, frozen=True):
    """SQL with the type of its value; `name` says it in messages. `plain` is a column as it is."""

    text: str
    kind: Type
    name: str
    at: Place
    plain: bool = False


class Slot(msgspec.Struct, frozen=True):
    """`parameter` names what the caller gives; without one, `value` is bound already, or it is the
    time (`form` is `now`)."""

    field: str
    type: Type
    form: Form
    at: Place
    parameter: str = ""
    value: SqlValue = None
    nullable: bool = False


class Slots:
    """The slots of a statement in the order of their numbers."""

    def __init__(self, dialect: Dialect, *, loosely: bool = False) -> None:
        self.found: list[Slot] = []
        self.dialect: Dialect = dialect
        self._loosely = loosely

    def add(
        self, field: str, kind: Type, form: Form, value: Value, *, nullable: bool = False
    ) -> str:
        """The placeholder of a written value. Raises CompilerError for one of another type."""
        made = Slot(field, kind, form, value.at, nullable=nullable)
        if value.kind == "param":
            made = msgspec.structs.replace(made, parameter=value.text)
        else:
            value = _loose(kind, value) if self._loosely else value
            made = msgspec.structs.replace(made, value=fill(made, python(value), self.dialect))
        return self.put(made)

    def now(self, kind: Type, at: Place) -> str:
        """The placeholder of the time at which the statement runs."""
        return self.put(Slot("now", kind, "now", at))

    def put(self, made: Slot) -> str:
        """Numbered, so that the same value may stand in the text twice."""
        self.found.append(made)
        number = len(self.found)
        if self.dialect == "sqlite":
            return f"?{number}"
        if made.form in ("list", "item", "fuzzy"):
            return f"${number}::text::jsonb"
        mark = f"${number}::text" if type_word(made.type) in BY_TEXT else f"${number}"
        return f"{mark}::{cast(made.type)}"


def fill(made: Slot, value: object, dialect: Dialect) -> SqlValue:
    """The value in storage form. Raises CompilerError."""
    if value is None and made.nullable:
        return None
    try:
        if made.form == "list":
            return _as_list(made, value, dialect)
        if made.form == "item":
            return msgspec.json.encode(json_item(made.type, value)).decode()
        stored = store(made.type, value, dialect)
    except Unfit as bad:
        raise mismatch(made.field, made.at, bad) from None
    if made.form == "count" and isinstance(stored, int) and stored < 0:
        raise mismatch(made.field, made.at, Unfit("0 or more", str(stored)))
    if made.form in ("value", "count"):
        return stored
    return fuzzy(str(stored)) if made.form == "fuzzy" else _pattern(made.form, str(stored), dialect)


def fill_now(made: Slot, now: float, dialect: Dialect) -> SqlValue:
    """The time (`now`, seconds of the epoch) as a timestamp or as a date."""
    return moment(type_word(made.type), now, dialect)


def _as_list(made: Slot, value: object, dialect: Dialect) -> str:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise Unfit("a list", name_of(value))
    items = [store(made.type, each, dialect) for each in value]
    plain = [str(each) if isinstance(each, Decimal) else each for each in items]
    return msgspec.json.encode(plain).decode()


def mismatch(field: str, at: Place, bad: Unfit) -> e.QueryError:
    """The error for a value that is not one of the field's type."""
    return e.QueryError(
        e.TYPE_MISMATCH,
        line=at.line,
        column=at.column,
        name=field,
        expected=bad.expected,
        got=bad.got,
    )


def python(value: Value) -> object:
    """The Python value of a literal."""
    match value.kind:
        case "int":
            # So long a run of digits fits no column; as a decimal it is refused in linear time.
            return int(value.text) if len(value.text) < 30 else Decimal(value.text)
        case "float":
            return Decimal(value.text)
        case "bool":
            return value.text == "true"
        case "null":
            return None
        case _:
            return value.text


def _loose(kind: Type, value: Value) -> Value:
    """In a search box `sku:123` looks for a text."""
    textual = type_word(kind) in ("string", "text", "enum")
    if textual and value.kind in ("int", "float", "duration", "bool"):
        return msgspec.structs.replace(value, kind="string")
    return value


# --- patterns ----------------------------------------------------------------------------------


def escaped(text: str) -> str:
    """A text in which LIKE finds no sign of its own."""
    return re.sub(r"([\\%_])", r"\\\1", text)


def fuzzy(word: str) -> str:
    """Patterns, as JSON, of a word with at most one letter wrong, missing or too many; the first
    letter is right, and words of three letters are as they are written."""
    found = {f"%{escaped(word)}%": None}
    for at in range(1, len(word)) if len(word) > 3 else ():
        before, here, after = escaped(word[:at]), word[at], escaped(word[at + 1 :])
        found[f"%{before}_{after}%"] = None
        found[f"%{before}{after}%"] = None
        found[f"%{before}_{escaped(here)}{after}%"] = None
    return msgspec.json.encode(list(found)).decode()


def _pattern(form: Form, text: str, dialect: Dialect) -> str:
    if form in _AROUND:
        return _AROUND[form].format(escaped(text))
    if form == "ilike":
        # A pattern without signs of its own is looked for anywhere.
        return _closed(text if re.search(r"[%_]", text) else f"%{text}%")
    return _glob(text) if dialect == "sqlite" else _closed(text)


def _closed(pattern: str) -> str:
    """A backslash at the end escapes nothing, so it stands for itself."""
    tail = len(pattern) - len(pattern.rstrip("\\"))
    return pattern + "\\" * (tail % 2)


def _glob(pattern: str) -> str:
    """SQLite's LIKE folds case; its GLOB does not, and spells patterns differently."""

    def change(found: re.Match[str]) -> str:
        said = found.group()
        if said in ("%", "_"):
            return "*" if said == "%" else "?"
        letter = said[1:] or said if said.startswith("\\") else said
        return f"[{letter}]" if letter in "*?[" else letter

    return re.sub(r"\\[\s\S]|[\s\S]", change, pattern)
