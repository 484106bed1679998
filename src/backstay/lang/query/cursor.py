"""A place in the tokens of a query, and the steps from there."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from backstay.core.nearest import nearest
from backstay.lang.query import errors as e
from backstay.lang.query.tokens import Token
from backstay.lang.query.tree import Place, Ref

T = TypeVar("T")
CLAUSES = ("with", "include", "where", "order", "group", "having", "limit", "offset")
_TESTED = frozenset({":", "=", "==", "!=", "<>", "<", "<=", ">", ">="})
_DEEPEST = 10
_MOST_SIGNS = 100
"""Of arithmetic in one query: each is a step down for whoever walks it."""


class Cursor:
    """What every reader of a query stands on."""

    def __init__(self, found: Sequence[Token]) -> None:
        self._tokens = found
        self._at = 0
        self._depth = 0
        self._signs = 0
        self._closes = _pairs(found)

    @property
    def token(self) -> Token:
        return self._tokens[self._at]

    @property
    def last(self) -> Token:
        return self._tokens[max(self._at - 1, 0)]

    def ahead(self, steps: int = 1) -> Token:
        return self._tokens[min(self._at + steps, len(self._tokens) - 1)]

    def behind_parenthesis(self) -> Token:
        """The token after the one that closes the parenthesis here."""
        closed = self._closes.get(self._at, len(self._tokens) - 1)
        return self._tokens[min(closed + 1, len(self._tokens) - 1)]

    def ended(self) -> bool:
        return self.token.kind == "end"

    def take(self) -> Token:
        token = self.token
        self._at += token.kind != "end"
        return token

    def sign(self, *signs: str) -> bool:
        """Whether one of these signs stands here."""
        return self.token.kind == "op" and self.token.text in signs

    def accept(self, sign: str) -> bool:
        found = self.sign(sign)
        if found:
            self.take()
        return found

    def need(self, sign: str) -> None:
        if not self.accept(sign):
            raise self.expected(f"'{sign}'")

    def word(self, word: str) -> bool:
        return self.token.lower == word

    def has_word(self, *words: str) -> bool:
        """Whether one of these words comes later, and is no field that is tested there."""
        rest = zip(self._tokens[self._at + 1 :], self._tokens[self._at + 2 :], strict=False)
        return any(here.lower in words and after.text not in _TESTED for here, after in rest)

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
            e.EXPECTED,
            line=token.line,
            column=token.column,
            meant=self._meant(wanted, token),
            wanted=wanted,
            got=token.text,
        )

    def _meant(self, wanted: str, token: Token) -> str:
        """The keyword that a slip of a letter spoilt, if it is one."""
        known = CLAUSES if wanted == "end of query" else (wanted,)
        word = token.kind == "word" and all(each.isalpha() for each in known)
        return (nearest(token.text, known) or "") if word else ""

    def name(self) -> Ref:
        if self.token.kind != "word":
            raise self.expected("identifier")
        token = self.take()
        return Ref(token.text, place(token))

    def parenthesis(self, read: Callable[[], T]) -> T:
        """What stands in parentheses; they may be ten deep."""
        token = self.take()
        self._depth += 1
        if self._depth > _DEEPEST:
            raise e.QueryError(e.TOO_DEEP, line=token.line, column=token.column, limit=_DEEPEST)
        inner = read()
        self.need(")")
        self._depth -= 1
        return inner

    def counted(self, token: Token) -> None:
        """One more sign of arithmetic. Raises ParserError when there are too many."""
        self._signs += 1
        if self._signs > _MOST_SIGNS:
            line, column = token.line, token.column
            raise e.QueryError(e.TOO_DEEP, line=line, column=column, limit=_MOST_SIGNS)

    def listed(self, read: Callable[[], T]) -> tuple[T, ...]:
        found = [read()]
        while self.accept(","):
            found.append(read())
        return tuple(found)


def place(token: Token) -> Place:
    """Where a token stands."""
    return Place(token.line, token.column)


def _pairs(found: Sequence[Token]) -> dict[int, int]:
    """Of each opening parenthesis, the closing one."""
    pairs: dict[int, int] = {}
    opened: list[int] = []
    for at, token in enumerate(found):
        if token.kind == "op" and token.text == "(":
            opened.append(at)
        elif token.kind == "op" and token.text == ")" and opened:
            pairs[opened.pop()] = at
    return pairs
