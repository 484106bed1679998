"""Arithmetic that gives the same numbers on both databases.

SQLite keeps a decimal as a whole number, so scales are followed through every operation; a
division is always one of floating-point numbers, and one by zero gives null.
"""

from backstay.lang.columns import Dialect
from backstay.lang.program import DecimalType, ScalarType, Type
from backstay.lang.query.scope import cannot
from backstay.lang.query.slots import Typed
from backstay.lang.query.stored import type_word

INT, FLOAT, STRING = ScalarType("int"), ScalarType("float"), ScalarType("string")
DURATION, TIMESTAMP, DATE = ScalarType("duration"), ScalarType("timestamp"), ScalarType("date")
TEXTS = ("string", "text", "enum")
NUMBERS = ("int", "float", "decimal")
_PRECISION = 38
_MICROS = 1_000_000


def is_text(kind: Type) -> bool:
    return type_word(kind) in TEXTS


def is_number(kind: Type) -> bool:
    return type_word(kind) in NUMBERS


def scale_of(kind: Type) -> int:
    return kind.scale if isinstance(kind, DecimalType) else 0


def rescaled(text: str, kind: Type, scale: int, dialect: Dialect) -> str:
    """A number with `scale` digits after the point; never fewer than it has."""
    factor = 10 ** (scale - scale_of(kind))
    return text if factor == 1 or dialect == "postgres" else f"({text} * {factor})"


def floating(value: Typed, dialect: Dialect) -> str:
    """A number as a floating-point one."""
    if type_word(value.kind) in ("float", "duration"):
        return value.text
    if dialect == "postgres":
        return f"{value.text}::double precision"
    scale = scale_of(value.kind)
    return (
        f"(CAST({value.text} AS REAL) / {10**scale}.0)" if scale else f"CAST({value.text} AS REAL)"
    )


def aligned(left: Typed, right: Typed, dialect: Dialect) -> tuple[str, str, Type]:
    """Two numbers of one type: exact where both are, else floating."""
    words = {type_word(left.kind), type_word(right.kind)}
    if words == {"int"}:
        return left.text, right.text, INT
    if "float" in words:
        return floating(left, dialect), floating(right, dialect), FLOAT
    scale = max(scale_of(left.kind), scale_of(right.kind))
    texts = [rescaled(each.text, each.kind, scale, dialect) for each in (left, right)]
    return texts[0], texts[1], DecimalType(_PRECISION, scale)


def arithmetic(op: str, left: Typed, right: Typed, made: Typed, dialect: Dialect) -> Typed:
    """`left OP right`; `made` has the name and the place. Raises CompilerError."""
    text, kind = _texts(op, left, right, dialect) or _times(op, left, right, dialect) or ("", INT)
    if not text and is_number(left.kind) and is_number(right.kind):
        text, kind = _numbers(op, left, right, dialect)
    if not text:
        what = f"'{op}' does not fit {type_word(left.kind)} and {type_word(right.kind)}"
        raise cannot(what, made.at, "use numbers, texts to join, or a time and a duration")
    return Typed(text, kind, made.name, made.at)


def _texts(op: str, left: Typed, right: Typed, _dialect: Dialect) -> tuple[str, Type] | None:
    if op == "+" and is_text(left.kind) and is_text(right.kind):
        return f"({left.text} || {right.text})", STRING
    return None


def _numbers(op: str, left: Typed, right: Typed, dialect: Dialect) -> tuple[str, Type]:
    if op == "/":
        return divided(floating(left, dialect), floating(right, dialect), dialect), FLOAT
    if op == "*" and "float" not in (type_word(left.kind), type_word(right.kind)):
        scale = scale_of(left.kind) + scale_of(right.kind)
        both_whole = type_word(left.kind) == type_word(right.kind) == "int"
        kind: Type = INT if both_whole else DecimalType(_PRECISION, scale)
        return f"({left.text} * {right.text})", kind
    one, two, kind = aligned(left, right, dialect)
    return f"({one} {op} {two})", kind


def divided(one: str, two: str, dialect: Dialect) -> str:
    """SQLite answers null when it divides by zero; PostgreSQL has to be told to."""
    return f"({one} / {two})" if dialect == "sqlite" else f"({one} / NULLIF({two}, 0))"


def _times(op: str, left: Typed, right: Typed, dialect: Dialect) -> tuple[str, Type] | None:
    kinds = (type_word(left.kind), type_word(right.kind))
    if op in "+-" and kinds == ("timestamp", "duration"):
        return f"({left.text} {op} {_interval(right.text, dialect)})", TIMESTAMP
    if op == "-" and kinds == ("timestamp", "timestamp"):
        if dialect == "sqlite":
            return f"(({left.text} - {right.text}) / {_MICROS}.0)", DURATION
        return f"extract(epoch FROM {left.text} - {right.text})::double precision", DURATION
    if op in "+-" and kinds == ("duration", "duration"):
        return f"({left.text} {op} {right.text})", DURATION
    if op == "*" and "duration" in kinds and (is_number(left.kind) or is_number(right.kind)):
        return f"({floating(left, dialect)} * {floating(right, dialect)})", DURATION
    if op == "/" and kinds[0] == "duration" and (is_number(right.kind) or kinds[1] == "duration"):
        kind = FLOAT if kinds[1] == "duration" else DURATION
        return divided(left.text, floating(right, dialect), dialect), kind
    return None


def _interval(seconds: str, dialect: Dialect) -> str:
    if dialect == "sqlite":
        return f"CAST(round({seconds} * {_MICROS}) AS INTEGER)"
    return f"make_interval(secs => {seconds})"
