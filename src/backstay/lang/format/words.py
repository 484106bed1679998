"""The tokens of a text by their place, and the changes that are to be made to them.

Changes are collected while the tree is walked and applied at once, so no place moves meanwhile.
"""

from collections.abc import Sequence

from backstay.lang.lexer import Token
from backstay.lang.syntax import Range


class Words:
    """`base` is the line of the declaration whose ranges are asked for."""

    def __init__(self, text: str, tokens: Sequence[Token]) -> None:
        self.text = text
        self.tokens = tokens
        self.base = 0
        self._starts = {(each.line, each.column): index for index, each in enumerate(tokens)}
        self._ends = {(each.end_line, each.end_column): i for i, each in enumerate(tokens[:-1])}
        self._changes: list[tuple[int, int, str]] = []

    def first(self, at: Range) -> int:
        """Index of the first token of a range."""
        return self._starts[self.base + at.line, at.column]

    def last(self, at: Range) -> int:
        """Index of the last token of a range."""
        return self._ends[self.base + at.end_line, at.end_column]

    def after(self, at: Range) -> Token:
        """The token behind a range."""
        return self.tokens[self.last(at) + 1]

    def insert(self, place: int, text: str) -> None:
        """Put `text` before the character at `place`; several at one place keep their order."""
        self._changes.append((place, place, text))

    def replace(self, first: Token, last: Token, text: str) -> None:
        """Write `text` for what stands from one token to another."""
        self._changes.append((first.start, last.end, text))

    def remove(self, token: Token) -> None:
        self.replace(token, token, "")

    @property
    def changed(self) -> bool:
        return bool(self._changes)

    def written(self) -> str:
        """The text with all changes."""
        made: list[str] = []
        position = 0
        for start, end, text in sorted(self._changes, key=lambda change: change[:2]):
            made += [self.text[position:start], text]
            position = end
        return "".join([*made, self.text[position:]])
