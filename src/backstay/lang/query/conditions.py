"""The conditions of a query and of a list of filters, over a list of tokens."""

from collections.abc import Callable, Sequence
from typing import Literal

from backstay.lang.query import errors as e
from backstay.lang.query.tokens import Token
from backstay.lang.query.tree import Both, Condition, Not, Place, Ref, Search, Test, Value

_DEEPEST = 10
_SIGNS = {"==": "=", "<>": "!=", ":": "="}
_COMPARE = ("=", "==", "!=", "<>", "<", "<=", ">", ">=")
_WORDS = ("contains", "startswith", "endswith", "like", "ilike", "in")


class Conditions:
    """A place in the tokens, and what reads conditions from there."""

    def __init__(self, found: Sequence[Token]) -> None:
        self._tokens = found
        self._at = 0
        self._depth = 0

    # --- the tokens ---

    @property
    def token(self) -> Token:
        return self._tokens[self._at]

    @property
    def last(self) -> Token:
        return self._tokens[max(self._at - 1, 0)]

    def ahead(self) -> Token:
        return self._tokens[min(self._at + 1, len(self._tokens) - 1)]

    def ended(self) -> bool:
        return self.token.kind == "end"

    def take(self) -> Token:
        token = self.token
        self._at += token.kind != "end"
        return token

    def accept(self, sign: str) -> bool:
        found = self.token.kind == "op" and self.token.text == sign
        if found:
            self.take()
        return found

    def need(self, sign: str) -> None:
        if not self.accept(sign):
            raise self.expected(f"'{sign}'")

    def word(self, word: str) -> bool:
        return self.token.lower == word

    def accept_word(self, word: str) -> bool:
        found = self.word(word)
        if found:
            self.take()
        return found

    def need_word(self, word: str) -> None:
        if not self.accept_word(word):
            raise self.expected(word)

    def expected(self, wanted: str, token: Token | None = None) -> e.QueryError:
        """The error for a token that does not belong; the end of the text has one of its own."""
        token = token or self.token
        if token.kind == "end":
            return e.QueryError(e.END, line=token.line, column=token.column)
        return e.QueryError(
            e.EXPECTED, line=token.line, column=token.column, wanted=wanted, got=token.text
        )

    def name(self) -> Ref:
        if self.token.kind != "word":
            raise self.expected("identifier")
        token = self.take()
        return Ref(token.text, _place(token))

    # --- conditions of `where` and `having` ---

    def condition(self) -> Condition:
        return self._chain("or", lambda: self._chain("and", self._negated))

    def _chain(self, word: Literal["and", "or"], read: Callable[[], Condition]) -> Condition:
        parts = [read()]
        while self.accept_word(word):
            parts.append(read())
        return parts[0] if len(parts) == 1 else Both(word, tuple(parts))

    def _negated(self) -> Condition:
        negative = False
        while self.word("not") and self.ahead().text not in _COMPARE:
            self.take()
            negative = not negative
        found = self._parenthesis(self.condition) if self._open() else self._test()
        return Not(found) if negative else found

    def _open(self) -> bool:
        return self.token.kind == "op" and self.token.text == "("

    def _parenthesis(self, read: Callable[[], Condition]) -> Condition:
        token = self.take()
        self._depth += 1
        if self._depth > _DEEPEST:
            raise e.QueryError(e.TOO_DEEP, line=token.line, column=token.column, limit=_DEEPEST)
        inner = read()
        self.need(")")
        self._depth -= 1
        return inner

    def _test(self) -> Condition:
        field = self.name()
        if self.accept_word("is"):
            negative = self.accept_word("not")
            self.need_word("null")
            return _maybe_not(negative, Test(field, "null", ()))
        negative = self.accept_word("not")
        if self.accept_word("between"):
            low = self.value()
            self.need_word("and")
            return _maybe_not(negative, Test(field, "between", (low, self.value())))
        op = self._operator(signs=not negative)
        if op == "in":
            return _maybe_not(negative, self._member(field))
        return _maybe_not(negative, Test(field, op, (self.value(),)))

    def _operator(self, *, signs: bool) -> str:
        token = self.token
        if signs and token.kind == "op" and token.text in _COMPARE:
            self.take()
            return _SIGNS.get(token.text, token.text)
        if token.lower in _WORDS:
            return self.take().lower
        raise self.expected("an operator")

    def _member(self, field: Ref) -> Test:
        """`in [a, b]`, `in (a, b)`, `in a, b`, `in @list`."""
        close = {"[": "]", "(": ")"}.get(self.token.text if self.token.kind == "op" else "")
        if close is None:
            values = [self.value()]
            while self.accept(","):
                values.append(self.value())
            return Test(field, "in", tuple(values), is_list=len(values) > 1)
        self.take()
        values = []
        while not self.accept(close):
            if values:
                self.need(",")
                if self.accept(close):
                    break
            values.append(self.value())
        return Test(field, "in", tuple(values), is_list=True)

    def value(self) -> Value:
        token = self.token
        if token.kind in ("op", "end"):
            raise self.expected("a value")
        self.take()
        at = _place(token)
        if token.kind != "word":
            return Value(token.kind, token.value, at)  # type: ignore[arg-type]
        if self._open():
            raise self.expected("a value that is no function", token)
        if token.lower in ("true", "false"):
            return Value("bool", token.lower, at)
        return Value("null" if token.lower == "null" else "string", token.text, at, bare=True)

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
        found = self._parenthesis(self.filters) if self._open() else self._plain_filter()
        return Not(found) if negative else found

    def _plain_filter(self) -> Condition:
        token = self.token
        if token.kind == "string":
            self.take()
            return Search(token.value, False, _place(token))
        if self.accept("~"):
            word = self.name()
            return Search(word.name, True, word.at)
        field = self.name()
        sign = self.token
        if sign.kind == "op" and sign.text in (":", *_COMPARE):
            self.take()
            return Test(field, _SIGNS.get(sign.text, sign.text), (self.value(),))
        return Test(field, "is true", ())


def _place(token: Token) -> Place:
    return Place(token.line, token.column)


def _maybe_not(negative: bool, test: Test) -> Condition:
    return Not(test) if negative else test
