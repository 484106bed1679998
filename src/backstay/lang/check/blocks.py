"""Members of a block by name and kind, so that a check reads like the block it checks."""

from collections.abc import Iterator
from typing import TypeVar

from backstay.core.duration import parse_duration
from backstay.lang import errors as e
from backstay.lang import syntax as s
from backstay.lang.check.world import Checker

N = TypeVar("N")
_EXPRESSIONS = (
    s.Literal_
    | s.Text
    | s.NameExpr
    | s.Dot
    | s.CallExpr
    | s.BinaryExpr
    | s.UnaryExpr
    | s.RecordExpr
    | s.ListExpr
    | s.Each
    | s.Where
    | s.Choice
    | s.Item
    | s.Lambda
)


def duration_of(node: s.Expr | None) -> float | None:
    """Seconds of `30s`, or of the same in quotes; None for anything else."""
    if not isinstance(node, s.Literal_):
        return None
    if node.literal == "duration":
        return float(node.value or 0)
    if node.literal == "string":
        try:
            return parse_duration(str(node.value))
        except ValueError:
            return None
    return None


class Members:
    """The members of one block; the first of a name counts, the parser reported a second."""

    def __init__(self, k: Checker, block: s.Block) -> None:
        self._k = k
        self.block_node = block
        self._by_name: dict[str, s.Member] = {}
        for member in block.members:
            self._by_name.setdefault(member.name.name, member)

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def member(self, name: str) -> s.Member | None:
        return self._by_name.get(name)

    def value(self, name: str, kind: type[N]) -> N | None:
        """The value if it is of this kind of node."""
        member = self._by_name.get(name)
        return member.value if member and isinstance(member.value, kind) else None

    def every(self, name: str, kind: type[N]) -> Iterator[N]:
        for member in self.block_node.members:
            if member.name.name == name and isinstance(member.value, kind):
                yield member.value

    def expression(self, name: str) -> s.Expr | None:
        member = self._by_name.get(name)
        return member.value if member and isinstance(member.value, _EXPRESSIONS) else None

    def block(self, name: str) -> s.Block | None:
        return self.value(name, s.Block)

    def text(self, name: str) -> str:
        """A text member, empty when it is not there."""
        node = self.value(name, s.Literal_)
        return str(node.value) if node and node.literal == "string" else ""

    def seconds(self, name: str, default: float) -> float:
        """A duration above zero."""
        node = self.expression(name)
        if node is None:
            return default
        seconds = duration_of(node)
        if seconds is not None:
            if seconds > 0:
                return seconds
            self._k.error(
                e.OUT_OF_RANGE, node.span, value="0", what=name, fix="it is longer than nothing"
            )
            return default
        self._k.error(e.NOT_CONSTANT, node.span, what=f"'{name}'", wanted="a duration such as 30s")
        return default

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        """A whole number within bounds."""
        node = self.expression(name)
        if node is None:
            return default
        if isinstance(node, s.Literal_) and isinstance(node.value, int) and node.literal == "int":
            if low <= node.value <= high:
                return node.value
            self._k.error(
                e.OUT_OF_RANGE,
                node.span,
                value=str(node.value),
                what=f"'{name}'",
                fix=f"write a number from {low} to {high}",
            )
            return default
        self._k.error(e.NOT_CONSTANT, node.span, what=f"'{name}'", wanted="a whole number")
        return default

    def names(self, name: str) -> tuple[s.Ident, ...]:
        node = self.value(name, s.Names)
        return node.names if node else ()

    def missing(self, name: str, owner: str, span: s.Range, example: str) -> None:
        """Say that a member is missing, unless it may be among what could not be read."""
        if not self.block_node.broken:
            self._k.error(e.MISSING_MEMBER, span, block=owner, name=name, example=example)
