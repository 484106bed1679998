"""Conditions of a query as SQL with placeholders."""

# ruff: noqa: S608 - names come from the checked program, values are always parameters

from collections.abc import Mapping

from backstay.lang.program import ListType, ScalarType, Type
from backstay.lang.query.compute import Compute, sorted_by
from backstay.lang.query.numbers import TEXTS
from backstay.lang.query.scope import Many, cannot
from backstay.lang.query.search import search
from backstay.lang.query.slots import Form, Typed
from backstay.lang.query.stored import cast, type_word
from backstay.lang.query.tree import Both, Condition, Not, Operand, Path, Search, Test, Value

_TEXT = ScalarType("string")
_UNORDERED = ("bool", "json")
_FORMS: Mapping[str, Form] = {
    "contains": "contains",
    "startswith": "startswith",
    "endswith": "endswith",
    "like": "like",
    "ilike": "ilike",
}


class Where:
    """Conditions to SQL. `left` names the left sides of tests, `right` the right ones: they differ
    inside a list of rows, whose fields only the left side means."""

    def __init__(self, left: Compute, right: Compute | None = None) -> None:
        self._left = left
        self._right = right or left
        self._dialect = left.dialect
        self._postgres = left.dialect == "postgres"

    def condition(self, condition: Condition) -> str:
        """SQL whose operators need no parentheses around it."""
        match condition:
            case Both(op=op, parts=parts):
                return "(" + f" {op.upper()} ".join(self.condition(each) for each in parts) + ")"
            case Not(condition=inner):
                return f"(NOT {self.condition(inner)})"
            case Search():
                return search(condition, self._left)
            case Test():
                return self._test(condition)

    def _test(self, test: Test) -> str:
        if isinstance(test.left, Path):
            many = self._left.scope.many(test.left)
            if many is not None:
                return self._some(test, many)
        if test.op == "null":
            return f"({self._left.value(test.left).text} IS NULL)"
        if test.op == "is true":
            return self._is_true(test)
        right = test.values[0] if test.values else None
        if test.op in ("=", "!=") and isinstance(right, Value) and right.kind == "null":
            left = self._left.value(test.left)
            return f"({left.text} IS {'NOT ' if test.op == '!=' else ''}NULL)"
        if test.op in _FORMS or test.op == "in" or self._is_json(test.left):
            return self._typed(test, self._left.value(test.left))
        return self._between(test) if test.op == "between" else self._compare(test)

    def _some(self, test: Test, many: Many) -> str:
        """A path through a list holds when it holds for some row of it."""
        inner, tie, rest = many.rows, many.tie, many.rest
        if rest is None:
            if test.op != "null":
                what = f"'{many.name}' is a list of rows, not a value"
                raise cannot(what, test.left.at, "name a field of its rows, or write: is null")
            return f"(NOT EXISTS (SELECT 1 FROM {inner.source()} WHERE {tie}))"
        left = Compute(inner, self._left.slots)
        held = Where(left, self._right).condition(Test(rest, test.op, test.values, test.is_list))
        return f"(EXISTS (SELECT 1 FROM {inner.source()} WHERE {tie} AND {held}))"

    def _is_true(self, test: Test) -> str:
        left = self._left.value(test.left)
        if type_word(left.kind) != "bool":
            what = f"'{left.name}' alone is a condition only for a field of type bool"
            raise cannot(what, left.at, "write field:value")
        return f"({left.text} = {'TRUE' if self._postgres else '1'})"

    def _is_json(self, operand: Operand) -> bool:
        return isinstance(operand, Path) and type_word(self._left.value(operand).kind) == "json"

    # --- comparisons ---

    def _compare(self, test: Test) -> str:
        one, two = self._both(test.left, test.values[0])
        op = "<>" if test.op == "!=" else test.op
        if op not in ("=", "<>"):
            self._refuse(test.op, one, type_word(one.kind) not in _UNORDERED)
            return f"({sorted_by(one, self._dialect)} {op} {two.text})"
        return f"({one.text} {op} {two.text})"

    def _both(self, left: Operand, right: Operand) -> tuple[Typed, Typed]:
        if self._left is self._right:
            return self._left.compared(left, right)
        one = self._left.value(left)
        want = one.kind if self._right.needs_type(right) else None
        return self._right.fitted(one, self._right.value(right, want, one.name))

    def _between(self, test: Test) -> str:
        """Two comparisons: each bound fits itself to the value."""
        low = Test(test.left, ">=", test.values[:1])
        high = Test(test.left, "<=", test.values[1:])
        return f"({self._compare(low)} AND {self._compare(high)})"

    def _typed(self, test: Test, left: Typed) -> str:
        word = type_word(left.kind)
        if word == "json":
            return self._in_json(test, left)
        if test.op in _FORMS:
            self._refuse(test.op, left, word in TEXTS)
            return self._pattern(left, test)
        return self._member(left, test)

    def _refuse(self, op: str, left: Typed, fits: bool) -> None:
        if not fits:
            word = type_word(left.kind)
            what = f"the operator '{op}' does not fit field '{left.name}' of type {word}"
            raise cannot(what, left.at, "use one that fits, such as 'is null'")

    def _pattern(self, left: Typed, test: Test) -> str:
        value = test.values[0]
        if not isinstance(value, Value):
            what = f"what follows '{test.op}' is written out or a parameter"
            raise cannot(what, value.at, "compare fields with = and <")
        # A part of an enum's member is no member: the slot is that of a text.
        mark = self._left.slots.add(left.name, _TEXT, _FORMS[test.op], value)
        if test.op == "like":
            return f"({left.text} {'LIKE' if self._postgres else 'GLOB'} {mark})"
        if not self._postgres:
            return f"({left.text} LIKE {mark} ESCAPE '\\')"
        return f'(lower({left.text} COLLATE "C") LIKE lower({mark} COLLATE "C"))'

    # --- lists ---

    def _member(self, left: Typed, test: Test) -> str:
        values = test.values
        only = values[0] if len(values) == 1 and not test.is_list else None
        if isinstance(only, Value) and only.kind == "param":
            return self._listed(left, only)
        if isinstance(only, Path):
            raise self._in_list(self._right.value(only))
        if only is not None and not (isinstance(only, Value) and only.bare):
            raise cannot("IN operator requires array value", only.at, "write in [a, b]")
        if not values:
            return "(1 = 0)"
        pairs = [self._item(left, each) for each in values]
        return f"({left.text} IN ({', '.join(pairs)}))"

    def _item(self, left: Typed, value: Operand) -> str:
        want = left.kind if self._right.needs_type(value) else None
        one, two = self._right.fitted(left, self._right.value(value, want, left.name))
        if one.text != left.text:
            what = f"a value of the list has more digits than '{left.name}'"
            raise cannot(what, value.at, "give it the digits of the field")
        return two.text

    def _listed(self, left: Typed, value: Value) -> str:
        """A list of any length is one parameter."""
        mark = self._left.slots.add(left.name, left.kind, "list", value)
        if not self._postgres:
            return f"({left.text} IN (SELECT value FROM json_each({mark})))"
        items = f"SELECT item::{cast(left.kind)} FROM jsonb_array_elements_text({mark}) AS item"
        return f"({left.text} IN ({items}))"

    def _in_list(self, items: Typed) -> Exception:
        what = "'in' looks through a list that is written out or a parameter"
        return cannot(what, items.at, f"write {items.name} contains VALUE")

    def _in_json(self, test: Test, left: Typed) -> str:
        """Whether json is this plain value, or a list that holds it."""
        fits = test.op in ("=", "!=", "contains") or (test.op == "in" and test.is_list)
        self._refuse(test.op, left, fits)
        held = [self._holds(left, left.kind, each) for each in test.values]
        text = " OR ".join(held) if held else "1 = 0"
        return f"(NOT ({text}))" if test.op == "!=" else f"({text})"

    def _holds(self, left: Typed, kind: Type, value: Operand) -> str:
        if not isinstance(value, Value):
            what = "json is compared with what is written out or with a parameter"
            raise cannot(what, value.at, "write a value")
        kind = kind if isinstance(kind, ListType) else ScalarType("json")
        mark = self._left.slots.add(left.name, kind, "item", value)
        if self._postgres:
            return f"({left.text}::jsonb @> {mark})"
        same = (
            "e.value = w.value AND (e.type = w.type OR"
            " (e.type IN ('integer', 'real') AND w.type IN ('integer', 'real')))"
        )
        pairs = f"json_each({left.text}) AS e, json_each({mark}) AS w"
        found = f"EXISTS (SELECT 1 FROM {pairs} WHERE {same})"
        return (
            f"(CASE WHEN {left.text} IS NULL THEN NULL"
            f" WHEN json_type({left.text}) = 'object' THEN 0 ELSE {found} END)"
        )
