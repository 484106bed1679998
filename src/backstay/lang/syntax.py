"""The syntax tree: what was written, where, in the order it was written.

A tree is made of top-level declarations. Lines inside a declaration count from the line of its
first word (0 is that line), and `Declaration.line` says where that is: a declaration that did not
change keeps its tree when lines are added above it, so an editor parses only what was touched.
Blocks hold members in source order, which is what a formatter needs and the checker does not mind.
"""

from typing import Literal

import msgspec


class Range(msgspec.Struct, frozen=True, gc=False):
    """A stretch of a declaration. Lines count from the declaration's own, columns from 1, in
    characters; the end is exclusive."""

    line: int
    column: int
    end_line: int
    end_column: int


class Node(msgspec.Struct, frozen=True, tag_field="kind", tag=True):
    """Everything in the tree has a place."""

    span: Range


class Ident(Node, frozen=True):
    name: str


# --- types -----------------------------------------------------------------------------------


class TypeName(Node, frozen=True):
    """`uuid`, `decimal(10, 2)`, `ref(Customer)`, `enum(a, b)`, `list(T)`, `paginated(E)`."""

    name: Ident
    args: tuple["TypeName | RecordFields | Literal_ | Ident", ...] = ()


class Modifier(Node, frozen=True):
    """`required`, `min(1)`, `default(now())`."""

    name: Ident
    args: tuple["Expr", ...] = ()


class FieldNode(Node, frozen=True):
    """`name: type, modifier, …`."""

    name: Ident
    type: "TypeName | RecordFields"
    modifiers: tuple[Modifier, ...] = ()


class RecordFields(Node, frozen=True):
    """`{ field … }` as a type, and the blocks `path`, `query`, `body`, `input`."""

    fields: tuple[FieldNode, ...]
    broken: bool = False


# --- expressions -----------------------------------------------------------------------------


class Literal_(Node, frozen=True, tag="Literal"):  # noqa: N801 - typing has the plain name
    """`value` is text for strings and decimals, seconds for durations."""

    literal: Literal["string", "int", "decimal", "duration", "bool", "null"]
    value: str | int | float | bool | None


class Text(Node, frozen=True):
    """A string with holes: `"order {order.id}"`."""

    parts: tuple["str | Expr", ...]


class NameExpr(Node, frozen=True):
    name: str


class Dot(Node, frozen=True):
    of: "Expr"
    field: Ident


class CallExpr(Node, frozen=True):
    callee: "Expr"
    args: tuple["Expr", ...]


class BinaryExpr(Node, frozen=True):
    op: str
    op_span: Range
    left: "Expr"
    right: "Expr"


class UnaryExpr(Node, frozen=True):
    op: str
    operand: "Expr"


class RecordExpr(Node, frozen=True):
    fields: tuple["Entry", ...]


class Entry(Node, frozen=True):
    """`name: EXPR` of a record, a create, an update or the arguments of a call."""

    name: Ident
    value: "Expr"


class ListExpr(Node, frozen=True):
    items: tuple["Expr", ...]


class Each(Node, frozen=True):
    """`[x in LIST: EXPR]`, and the inside of `sum(x in LIST: EXPR)`."""

    variable: Ident
    items: "Expr"
    value: "Expr"


class Where(Node, frozen=True):
    """`TARGET where CONDITION` inside an aggregate."""

    target: "Expr"
    condition: "Expr"


Expr = (
    Literal_
    | Text
    | NameExpr
    | Dot
    | CallExpr
    | BinaryExpr
    | UnaryExpr
    | RecordExpr
    | ListExpr
    | Each
    | Where
)


# --- statements ------------------------------------------------------------------------------


class CreateNode(Node, frozen=True):
    entity: Ident
    values: tuple[Entry, ...]


class StartNode(Node, frozen=True):
    workflow: Ident
    input: tuple[Entry, ...]


class LetNode(Node, frozen=True):
    name: Ident
    value: Expr | CreateNode | StartNode


class FailNode(Node, frozen=True):
    status: Literal_ | None
    message: Expr


class UpdateNode(Node, frozen=True):
    entity: Ident
    where: Expr
    values: tuple[Entry, ...]
    otherwise: FailNode | None


class DeleteNode(Node, frozen=True):
    entity: Ident
    where: Expr


class ForNode(Node, frozen=True):
    variable: Ident
    items: Expr
    body: "Body"


class IfNode(Node, frozen=True):
    condition: Expr
    then: "Body"
    otherwise: "Body | None"


class ReturnNode(Node, frozen=True):
    value: Expr


StatementNode = (
    CreateNode
    | StartNode
    | LetNode
    | FailNode
    | UpdateNode
    | DeleteNode
    | ForNode
    | IfNode
    | ReturnNode
)


# --- blocks ----------------------------------------------------------------------------------


class Names(Node, frozen=True):
    """`[a, b]`; `unique` follows an index."""

    names: tuple[Ident, ...]
    unique: bool = False


class Body(Node, frozen=True):
    """`{ statement … }`."""

    statements: tuple[StatementNode, ...]
    broken: bool = False


class RetryNode(Node, frozen=True):
    """`4 times with exponential_backoff(200ms, 2s)`."""

    times: Literal_
    backoff: Ident | None = None
    args: tuple[Expr, ...] = ()


class CallNode(Node, frozen=True):
    """`Integration.operation { … }`."""

    integration: Ident
    operation: Ident
    args: tuple[Entry, ...]


class TaskNode(Node, frozen=True):
    """`COMMAND { … }`."""

    command: Ident
    payload: RecordExpr


class Block(Node, frozen=True):
    """`{ member … }`. `broken` says that a part of it could not be read, so what seems to be
    missing may only be unread."""

    members: tuple["Member", ...]
    broken: bool = False


class Labelled(Node, frozen=True):
    """`jwt { … }` after `auth:`."""

    label: Ident
    block: Block


class Path(Node, frozen=True):
    """`/orders/{id}`; `holes` are the names in braces with their places."""

    text: str
    holes: tuple[Ident, ...]


Value = (
    Literal_
    | Text
    | NameExpr
    | Dot
    | CallExpr
    | BinaryExpr
    | UnaryExpr
    | RecordExpr
    | ListExpr
    | Each
    | Where
    | TypeName
    | RecordFields
    | FieldNode
    | Ident
    | Names
    | Body
    | RetryNode
    | CallNode
    | TaskNode
    | Block
    | Labelled
    | Path
)


class Member(Node, frozen=True):
    """One entry of a block: `name: value`, `name { … }`, `operation LABEL { … }`."""

    name: Ident
    value: Value
    label: Ident | None = None


class Declaration(Node, frozen=True):
    """A top-level `keyword [NAME] { … }`; an endpoint has `method` and `path` for a name.

    `line` is the absolute line of the first word, to which all lines inside are relative.
    """

    line: int
    keyword: Ident
    name: Ident | None
    block: Block
    method: Ident | None = None
    path: Path | None = None


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
