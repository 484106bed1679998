"""Values of a query to SQL with the types of their results.

A literal takes the type that its neighbour asks for; a word alone is a text where a text is
wanted, and otherwise the field of that name.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

from backstay.lang.program import DecimalType, ScalarType, Type
from backstay.lang.query.functions import ALIASES, FUNCTIONS, SPECIAL, Takes
from backstay.lang.query.numbers import (
    DATE,
    DURATION,
    FLOAT,
    INT,
    NUMBERS,
    STRING,
    TEXTS,
    TIMESTAMP,
    aligned,
    arithmetic,
    divided,
    floating,
    is_number,
    is_text,
    scale_of,
)
from backstay.lang.query.parser import AGGREGATES
from backstay.lang.query.scope import Scope, cannot
from backstay.lang.query.slots import Slots, Typed, mismatch, python
from backstay.lang.query.stored import type_word
from backstay.lang.query.tree import Arith, Func, Operand, Path, Place, Ref, Value, spelled
from backstay.lang.query.values import Unfit

_SUMMED = (*NUMBERS, "duration")
ORDERED = (*_SUMMED, "string", "text", "timestamp", "date", "time", "enum")
_BOOL = ScalarType("bool")
_TAKES: Mapping[Takes, tuple[str, ...]] = {
    "text": TEXTS,
    "number": _SUMMED,
    "moment": ("timestamp", "date"),
}
_MOST_PLACES = 9


class Compute:
    """Values in a scope. `named` are values with a name of their own (aggregates, columns with
    `as`); `grouped` are what rows were grouped by, where they were."""

    def __init__(
        self,
        scope: Scope,
        slots: Slots,
        named: Mapping[str, Typed] | None = None,
        grouped: Mapping[str, Typed] | None = None,
    ) -> None:
        self.scope = scope
        self.slots = slots
        self.dialect = slots.dialect
        self.named = named or {}
        self.grouped = grouped
        self._inside = False

    # --- types first ---

    def needs_type(self, operand: Operand) -> bool:
        """Whether the neighbour has to say what type it is."""
        if isinstance(operand, Value):
            return True
        return isinstance(operand, Arith) and all(
            self.needs_type(each) for each in (operand.left, operand.right)
        )

    def value(self, operand: Operand, want: Type | None = None, of: str = "") -> Typed:
        """The SQL of a value; `of` names what a literal has to fit. Raises CompilerError."""
        if self.grouped is not None and not self._inside:
            found = self.grouped.get(spelled(operand))
            if found is not None:
                return found
        match operand:
            case Path():
                return self._path(operand)
            case Value():
                return self._literal(operand, want, of)
            case Arith(op=op, left=left, right=right):
                one, two = self._pair(op, left, right, want)
                made = Typed("", INT, spelled(operand), operand.at)
                return arithmetic(op, one, two, made, self.dialect)
            case Func():
                return self._call(operand, want)

    def _path(self, path: Path) -> Typed:
        if len(path.names) == 1 and path.text.lower() in self.named:
            return self.named[path.text.lower()]
        found = self.scope.resolve(path)
        if self.grouped is not None and not self._inside and not self.is_grouped(path):
            raise cannot(f"'{path.text}' is not grouped by", path, "add it to group by")
        return found

    def is_grouped(self, path: Path) -> bool:
        """Whether rows were grouped by this field."""
        return self.grouped is not None and path.text in self.grouped

    def _literal(self, value: Value, want: Type | None, of: str) -> Typed:
        kind = want
        if value.bare and not (want is not None and is_text(want)):
            ref = Ref(value.text, value.at)
            if self.scope.find(ref) is not None or value.text.lower() in self.named:
                return self.value(Path((ref,)))
        if value.kind == "param" and kind is None:
            what = f"the type of '@{value.text}' cannot be told"
            raise cannot(what, value.at, "put a field beside it")
        if value.kind == "null":
            what, fix = "null has no type at this place", "write: is null, or set FIELD = null"
            raise cannot(what, value.at, fix)
        kind = kind or natural(value)
        text = self.slots.add(of or spelled(value), kind, "value", value)
        return Typed(text, kind, spelled(value), value.at)

    def _pair(
        self, op: str, left: Operand, right: Operand, want: Type | None
    ) -> tuple[Typed, Typed]:
        """Both sides of an operator; a literal fits itself to the other side."""
        if self.needs_type(left) and not self.needs_type(right):
            two = self.value(right)
            return self.value(left, _beside(op, left, two.kind)), two
        if self.needs_type(left):
            kind = want if want is not None and is_number(want) else None
            one = self.value(left, kind)
            return one, self.value(right, kind or _beside(op, right, one.kind))
        one = self.value(left)
        beside = _beside(op, right, one.kind) if self.needs_type(right) else None
        return one, self.value(right, beside)

    def compared(self, left: Operand, right: Operand) -> tuple[Typed, Typed]:
        """Two values of one type, ready for an operator between them."""
        if self.needs_type(left) and self.needs_type(right):
            one = self.value(left)
            return self.fitted(one, self.value(right, one.kind, one.name))
        if self.needs_type(left):
            two = self.value(right)
            return self.fitted(self.value(left, _as_written(left, two.kind), two.name), two)
        one = self.value(left)
        kind = _as_written(right, one.kind) if self.needs_type(right) else None
        return self.fitted(one, self.value(right, kind, one.name))

    def fitted(self, one: Typed, two: Typed) -> tuple[Typed, Typed]:
        """The two with one type. Raises CompilerError where no value could ever be equal."""
        words = (type_word(one.kind), type_word(two.kind))
        if is_number(one.kind) and is_number(two.kind):
            left, right, kind = aligned(one, two, self.dialect)
            if words[0] == words[1] == "int":
                return one, two
            replace = msgspec.structs.replace
            return replace(one, text=left, kind=kind), replace(two, text=right, kind=kind)
        if words[0] != words[1] and not (is_text(one.kind) and is_text(two.kind)):
            raise mismatch(one.name, two.at, Unfit(words[0], words[1]))
        return one, two

    # --- functions ---

    def _call(self, node: Func, want: Type | None) -> Typed:
        name = ALIASES.get(node.name, node.name)
        if name in AGGREGATES:
            return self._aggregate(node)
        if name in ("now", "today"):
            self._count(node, 0, 0)
            kind: Type = TIMESTAMP if name == "now" else DATE
            return Typed(self.slots.now(kind, node.at), kind, f"{name}()", node.at)
        if name == "coalesce":
            return self._coalesce(node, want)
        function = FUNCTIONS.get(name)
        if function is None:
            known = ", ".join((*FUNCTIONS, *SPECIAL, *AGGREGATES))
            raise cannot(f"unknown function '{node.name}'", node.at, f"there are: {known}")
        self._count(node, len(function.takes) - function.optional, len(function.takes))
        places = _places(node.args[1]) if len(node.args) > 1 else 0
        takes = function.takes[0]
        first = STRING if takes == "text" and self.needs_type(node.args[0]) else None
        value = self.value(node.args[0], first)
        if type_word(value.kind) not in _TAKES[takes]:
            raise self._unfit(node.name, value, _TAKES[takes])
        if type_word(value.kind) == "duration" and name != "abs":
            raise self._unfit(node.name, value, NUMBERS)
        text, kind = function.make(value, places, self.dialect)
        return Typed(text, kind, spelled(node), node.at)

    def _count(self, node: Func, least: int, most: int) -> None:
        if not least <= len(node.args) <= most:
            said = str(least) if least == most else f"{least} to {most}"
            what = f"wrong number of arguments for '{node.name}': expected {said}"
            raise cannot(f"{what}, got {len(node.args)}", node.at, f"give it {said}")

    def _unfit(self, name: str, value: Typed, allowed: Sequence[str]) -> Exception:
        word = type_word(value.kind)
        what = f"'{name}' does not fit field '{value.name}' of type {word}"
        return cannot(what, value.at, f"{name} takes {', '.join(allowed)}")

    def _coalesce(self, node: Func, want: Type | None) -> Typed:
        self._count(node, 2, 9)
        typed = [None if self.needs_type(each) else self.value(each) for each in node.args]
        kind = next((each.kind for each in typed if each is not None), want)
        found = [
            value or self.value(each, _beside("+", each, kind))
            for each, value in zip(node.args, typed, strict=True)
        ]
        first = found[0]
        for at in range(1, len(found)):
            first, found[at] = self.fitted(first, found[at])
        # Once more, so that all of them have the scale of the widest.
        texts = [self.fitted(first, each)[1].text for each in found]
        return Typed(f"coalesce({', '.join(texts)})", first.kind, spelled(node), node.at)

    # --- aggregates ---

    def _aggregate(self, node: Func) -> Typed:
        if self.grouped is None or self._inside:
            what = f"'{node.name}' counts over rows and cannot stand here"
            raise cannot(what, node.at, "use it in select, having or order by")
        self._count(node, 0 if node.name == "count" else 1, 1)
        self._inside = True
        value = self.value(node.args[0]) if node.args else None
        self._inside = False
        text, kind = self._aggregated(node.name, value)
        return Typed(text, kind, spelled(node), node.at)

    def _aggregated(self, name: str, value: Typed | None) -> tuple[str, Type]:
        if value is None:
            return "count(*)", INT
        if name == "count":
            return f"count({value.text})", INT
        allowed = _SUMMED if name in ("sum", "avg") else ORDERED
        if type_word(value.kind) not in allowed:
            raise self._unfit(name, value, allowed)
        if name == "avg":
            return self._average(value)
        text = f"{name}({sorted_by(value, self.dialect)})"
        whole = self.dialect == "postgres" and name == "sum" and value.kind == INT
        return f"{text}::bigint" if whole else text, value.kind

    def _average(self, value: Typed) -> tuple[str, Type]:
        if type_word(value.kind) in ("float", "duration"):
            return f"avg({value.text})", value.kind
        # One division of two whole numbers: neither database rounds twice.
        unit = 10 ** scale_of(value.kind)
        total = (
            f"sum({value.text})" if self.dialect == "sqlite" else f"(sum({value.text}) * {unit})"
        )
        one = floating(Typed(total, INT, "", value.at), self.dialect)
        two = floating(Typed(f"(count({value.text}) * {unit})", INT, "", value.at), self.dialect)
        return divided(one, two, self.dialect), FLOAT


def sorted_by(value: Typed, dialect: str) -> str:
    """PostgreSQL compares texts by the rules of a language unless told otherwise."""
    return (
        f'{value.text} COLLATE "C"' if dialect == "postgres" and is_text(value.kind) else value.text
    )


def natural(value: Value) -> Type:
    """The type of a literal by itself."""
    match value.kind:
        case "int":
            return INT
        case "float":
            number = python(value)
            places = -int(number.as_tuple().exponent) if isinstance(number, Decimal) else 0
            plain = 0 <= places <= _MOST_PLACES and len(value.text) < 18
            return DecimalType(18, places) if plain else FLOAT
        case "duration":
            return DURATION
        case "bool":
            return _BOOL
    return STRING


def _as_written(node: Operand, other: Type) -> Type:
    """A number that is compared with an exact one keeps all the digits it is written with."""
    exact = isinstance(other, DecimalType) or other == INT
    if exact and isinstance(node, Value) and node.kind == "float":
        kind = natural(node)
        return kind if kind == FLOAT or scale_of(kind) > scale_of(other) else other
    return other


def _beside(op: str, node: Operand, other: Type | None) -> Type | None:
    """The type that a literal takes in arithmetic with a value of type `other`."""
    if other is None or not isinstance(node, Value):
        return None
    word = type_word(other)
    if node.kind == "param":
        if word == "timestamp":
            return DURATION
        if op in "*/" and word in ("decimal", "duration"):
            return DecimalType(18, 4) if word == "decimal" else FLOAT
        return other
    if node.kind in ("int", "float"):
        if op in "*/" and word == "duration":
            return FLOAT
        # A number keeps the digits it is written with beside exact numbers.
        return FLOAT if word == "float" else None
    if node.kind == "duration" or (word in ("timestamp", "duration") and node.kind == "string"):
        return DURATION
    return other


def _places(node: Operand) -> int:
    if isinstance(node, Value) and node.kind == "int" and len(node.text) < 3:
        places = int(node.text)
        if 0 <= places <= _MOST_PLACES:
            return places
    where: Place = node.at
    raise cannot("the digits of 'round' are a number from 0 to 9", where, "write round(x, 2)")
