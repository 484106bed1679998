"""What stands between two words of a line: nothing, a space, or two before a comment."""

from typing import Protocol

_BINARY = frozenset(
    ["==", "!=", "<=", ">=", "??", "->", "=>", "+", "*", "/", "%", "<", ">", "=", "?"]
)
_WORDS = frozenset(["and", "or", "not", "in"])
_BEFORE_VALUE = frozenset(["and", "or", "not", "in", "return", "where", "if", "else", "when"])
_NUMBERS = ("int", "decimal", "duration")


class Placed(Protocol):
    """A word with its place."""

    @property
    def kind(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def line(self) -> int: ...
    @property
    def column(self) -> int: ...
    @property
    def end_line(self) -> int: ...
    @property
    def end_column(self) -> int: ...


class Spacing:
    """Remembers what was taken, because `-` and `:` mean different things after different words."""

    def __init__(self) -> None:
        self._prefix = False
        self._value = False
        self._dot = False
        self._choices: list[int] = [0]

    def take(self, piece: Placed) -> None:
        """The word that was written last."""
        if piece.kind == "comment":
            return
        sign = piece.text if piece.kind == "op" else ""
        self._prefix = sign in ("-", "@", "!") and (sign != "-" or not self._value)
        # Behind a dot any word is a field's name.
        operator = piece.kind == "ident" and piece.text in _BEFORE_VALUE and not self._dot
        self._value = sign in (")", "]", "}") or (piece.kind != "op" and not operator)
        self._dot = sign == "."
        if sign in ("{", "[", "("):
            self._choices.append(0)
        elif sign in ("}", "]", ")") and len(self._choices) > 1:
            self._choices.pop()
        elif sign == "?":
            self._choices[-1] += 1
        elif sign == ":" and self._choices[-1]:
            self._choices[-1] -= 1

    def between(self, left: Placed, right: Placed) -> str:
        """The space between two neighbours of one line."""
        if right.kind == "comment":
            return " " if right.text.startswith("/*") else "  "
        if left.kind == "comment":
            return " "
        return "" if self._joined(left, right) else " "

    def _joined(self, left: Placed, right: Placed) -> bool:
        before = left.text if left.kind == "op" else ""
        after = right.text if right.kind == "op" else ""
        if after == ":":
            return not self._choices[-1]
        if after == ".":
            # `1 .x` is not the number `1.`.
            return left.kind not in _NUMBERS
        if before in (".", "(", "[") or after in (",", ")", "]"):
            return True
        if self._prefix:
            return True
        if after in ("(", "["):
            # `f(x)` calls and `in (a, b)` does not: the parser knows, whoever wrote it knows.
            return _touch(left, right) and self._value
        return False


def _touch(left: Placed, right: Placed) -> bool:
    return (left.end_line, left.end_column) == (right.line, right.column)


def continues(last: Placed, first: Placed) -> bool:
    """Whether a line that begins with `first` goes on with the value of the line before."""
    if last.kind == "op" and (last.text in _BINARY or last.text in ("-", ":", ".")):
        return True
    if last.kind == "ident" and last.text in _WORDS:
        return True
    starts = first.text in _BINARY or first.text == "."
    return (first.kind == "op" and starts) or (
        first.kind == "ident" and first.text in ("and", "or")
    )
