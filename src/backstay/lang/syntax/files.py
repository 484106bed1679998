"""Declarations, and the file that holds them."""

import msgspec

from backstay.lang.syntax.expressions import Literal_
from backstay.lang.syntax.members import Block, Path
from backstay.lang.syntax.nodes import Ident, Node
from backstay.lang.syntax.statements import AssignNode, Body, DoNode, StatementNode, TestNode


class HandlerNode(Node, frozen=True):
    """`on "event" do ACTION "target" [async]`."""

    event: Literal_
    action: Ident
    target: Literal_
    asynchronous: bool = False


class Annotation(Node, frozen=True):
    """`@name` or `@name("value")` before an endpoint."""

    name: Ident
    value: Literal_ | None = None


class Declaration(Node, frozen=True):
    """A top-level `keyword [NAME] { … }`; an endpoint has `method` and `path` for a name, a
    database the word `postgres` or `mongodb`.

    What has no block (a statement of a script, a function, a test, `on … do …`) is in
    `statement`, and its `block` is empty. `line` is the absolute line of the first word, to which
    all lines inside are relative.
    """

    line: int
    keyword: Ident
    name: Ident | None
    block: Block
    method: Ident | None = None
    path: Path | None = None
    annotations: tuple[Annotation, ...] = ()
    statement: StatementNode | HandlerNode | TestNode | None = None

    @property
    def is_oldest(self) -> bool:
        """Whether it is an endpoint of the first version: by `request`, `response`, annotations, or
        a `do` of nothing but steps. What its path names is of the type of that table's column."""
        members = {each.name.name: each.value for each in self.block.members}
        if self.annotations or not members.keys().isdisjoint(("request", "response")):
            return True
        do = members.get("do")
        steps = do.statements if isinstance(do, Body) else ()
        return bool(steps) and all(isinstance(each, DoNode | AssignNode) for each in steps)


class Comment(msgspec.Struct, frozen=True, gc=False):
    """Kept beside the tree for the formatter. Lines and columns are absolute."""

    text: str
    line: int
    column: int


class File(msgspec.Struct, frozen=True):
    """One source. `incomplete` says that a declaration was lost, so names may be missing."""

    name: str
    text: str
    declarations: tuple[Declaration, ...]
    comments: tuple[Comment, ...] = ()
    incomplete: bool = False
