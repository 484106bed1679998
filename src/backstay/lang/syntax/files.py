"""Declarations, and the file that holds them."""

import msgspec

from backstay.lang.syntax.expressions import Literal_
from backstay.lang.syntax.members import Block, Path
from backstay.lang.syntax.nodes import Ident, Node
from backstay.lang.syntax.statements import StatementNode, TestNode


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
