"""The conditions of a query and of a list of filters.

Weakest first: `or`, `and`, `not`, then a test of two values.
"""

from collections.abc import Callable
from typing import Literal

from backstay.lang.query.cursor import place
from backstay.lang.query.operands import Operands
from backstay.lang.query.tree import Both, Condition, Not, Operand, Path, Ref, Search, Test, Value

_SIGNS = {"==": "=", "<>": "!=", ":": "="}
_COMPARE = ("=", "==", "!=", "<>", "<", "<=", ">", ">=")
WORDS = ("contains", "startswith", "endswith", "like", "ilike", "in")
_TESTS = (*WORDS, "between", "is")


class Conditions(Operands):
    """What reads conditions from a place in the tokens."""

    def condition(self) -> Condition:
        return self._chain("or", lambda: self._chain("and", self._negated))

    def _chain(self, word: Literal["and", "or"], read: Callable[[], Condition]) -> Condition:
        parts = [read()]
        while self.accept_word(word):
            parts.append(read())
        return parts[0] if len(parts) == 1 else Both(word, tuple(parts))

    def _negated(self) -> Condition:
        negative = False
        while self.word("not") and not self._names_a_field():
            self.take()
            negative = not negative
        found = self.parenthesis(self.condition) if self._opens_condition() else self._test()
        return Not(found) if negative else found

    def _names_a_field(self) -> bool:
        """Whether the word here is followed by what only a field has."""
        return self.ahead().text in _COMPARE

    def _opens_condition(self) -> bool:
        """Whether the parenthesis here is around a condition, not around a value."""
        if not self.sign("("):
            return False
        after = self.behind_parenthesis()
        counts = after.kind in ("int", "float") and after.text.startswith("-")
        return not (counts or after.text in (*_COMPARE, *"+-*/") or after.lower in (*_TESTS, "not"))

    def _test(self) -> Condition:
        if self.token.kind == "op" and not self.sign("(", "-"):
            raise self.expected("identifier")
        left = _field(self.operand())
        if self.accept_word("is"):
            negative = self.accept_word("not")
            self.need_word("null")
            return _maybe_not(negative, Test(left, "null", ()))
        negative = self.accept_word("not")
        if self.accept_word("between"):
            low = self.right()
            self.need_word("and")
            return _maybe_not(negative, Test(left, "between", (low, self.right())))
        op = self._operator(signs=not negative)
        if op == "in":
            return _maybe_not(negative, self._member(left))
        return _maybe_not(negative, Test(left, op, (self.right(),)))

    def _operator(self, *, signs: bool) -> str:
        token = self.token
        if signs and self.sign(*_COMPARE):
            self.take()
            return _SIGNS.get(token.text, token.text)
        if token.lower in WORDS:
            return self.take().lower
        raise self.expected("an operator")

    def _member(self, left: Operand) -> Test:
        """`in [a, b]`, `in (a, b)`, `in a, b`, `in @list`."""
        close = {"[": "]", "(": ")"}.get(self.token.text if self.token.kind == "op" else "")
        if close is None:
            found = self.listed(self.right)
            return Test(left, "in", found, is_list=len(found) > 1)
        self.take()
        values: list[Operand] = []
        while not self.accept(close):
            if values:
                self.need(",")
                if self.accept(close):
                    break
            values.append(self.right())
        return Test(left, "in", tuple(values), is_list=True)

    # --- filters: what a search box takes ---

    def filters(self) -> Condition:
        """`status:active (priority>1 or urgent:true) "a phrase" ~word`; a space means `and`."""
        return self._chain("or", self._filter_row)

    def _filter_row(self) -> Condition:
        parts = [self._filter()]
        while self.token.kind != "end" and self.token.text != ")" and not self._or_follows():
            self.accept_word("and")
            parts.append(self._filter())
        return parts[0] if len(parts) == 1 else Both("and", tuple(parts))

    def _or_follows(self) -> bool:
        return self.word("or") and self.ahead().text not in (":", *_COMPARE)

    def _filter(self) -> Condition:
        negative = False
        while self.word("not") and self.ahead().text not in (":", *_COMPARE):
            self.take()
            negative = not negative
        found = self.parenthesis(self.filters) if self.sign("(") else self._plain_filter()
        return Not(found) if negative else found

    def _plain_filter(self) -> Condition:
        token = self.token
        if token.kind == "string":
            self.take()
            return Search(token.value, False, place(token))
        if self.accept("~"):
            word = self.name()
            return Search(word.name, True, word.at)
        field = self.path()
        sign = self.token
        if self.sign(":", *_COMPARE):
            self.take()
            return Test(field, _SIGNS.get(sign.text, sign.text), (self.value(),))
        return Test(field, "is true", ())


def _field(left: Operand) -> Operand:
    """On the left of an operator `null` and `true` are fields of that name."""
    if isinstance(left, Value) and left.kind in ("bool", "null"):
        return Path((Ref(left.text, left.at),))
    return left


def _maybe_not(negative: bool, test: Test) -> Condition:
    return Not(test) if negative else test
