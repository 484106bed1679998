"""The places of a statement that take values, filled at once or when it is run.

A slot knows its column's type and the form that the operator wants: a text to look for is escaped,
a pattern is put into the database's own spelling, a list travels as one JSON text.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Literal

import msgspec

from backstay.lang.program import Type
from backstay.lang.query import errors as e
from backstay.lang.query.tree import Place, Value
from backstay.lang.query.values import Dialect, SqlValue, Unfit, name_of, store, type_word

Form = Literal["value", "contains", "startswith", "endswith", "like", "ilike", "list"]
_BOTH, _AFTER, _BEFORE = "%{}%", "{}%", "%{}"
_AROUND: Mapping[str, str] = {"contains": _BOTH, "startswith": _AFTER, "endswith": _BEFORE}


class Slot(msgspec.Struct, frozen=True):
    """`parameter` names what the caller gives; without one, `value` is bound already."""

    field: str
    type: Type
    form: Form
    at: Place
    parameter: str = ""
    value: SqlValue = None


def slot(field: str, kind: Type, form: Form, value: Value, dialect: Dialect) -> Slot:
    """The slot of one written value. Raises CompilerError for a value of another type."""
    made = Slot(field, kind, form, value.at)
    if value.kind == "param":
        return msgspec.structs.replace(made, parameter=value.text)
    return msgspec.structs.replace(made, value=fill(made, python(value), dialect))


def fill(made: Slot, value: object, dialect: Dialect) -> SqlValue:
    """The value in storage form. Raises CompilerError."""
    try:
        if made.form == "list":
            if not isinstance(value, Sequence) or isinstance(value, str):
                raise Unfit("a list", name_of(value))
            items = [store(made.type, each, dialect) for each in value]
            return msgspec.json.encode([_in_json(each) for each in items]).decode()
        stored = store(made.type, value, dialect)
    except Unfit as bad:
        raise mismatch(made.field, made.at, bad) from None
    return stored if made.form == "value" else _pattern(made.form, str(stored), dialect)


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


def loose(kind: Type, value: Value) -> Value:
    """In a search box `sku:123` looks for a text."""
    textual = type_word(kind) in ("string", "text", "enum")
    if textual and value.kind in ("int", "float", "bool"):
        return msgspec.structs.replace(value, kind="string")
    return value


def _in_json(value: SqlValue) -> object:
    return str(value) if isinstance(value, Decimal) else value


def _pattern(form: Form, text: str, dialect: Dialect) -> str:
    if form in _AROUND:
        return _AROUND[form].format(re.sub(r"([\\%_])", r"\\\1", text))
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
