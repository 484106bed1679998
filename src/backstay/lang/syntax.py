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


class Choice(Node, frozen=True):
    """`CONDITION ? THEN : OTHERWISE`."""

    condition: "Expr"
    then: "Expr"
    otherwise: "Expr"


class Item(Node, frozen=True):
    """`LIST[INDEX]`."""

    of: "Expr"
    index: "Expr"


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
    | Choice
    | Item
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


class VarNode(Node, frozen=True):
    """`var NAME = EXPR` of a script: a name whose value may change."""

    name: Ident
    value: Expr


class AssignNode(Node, frozen=True):
    """`NAME = EXPR` of a script."""

    name: Ident
    value: Expr


class DoNode(Node, frozen=True):
    """A call as a statement, and a step of the oldest endpoints:
    `[NAME =] ACTION(args) [where "…"] [with { option: value }]`."""

    call: "CallExpr | NameExpr | Dot"
    target: Ident | None = None
    where: Expr | None = None
    options: tuple[Entry, ...] = ()


class EmitNode(Node, frozen=True):
    """`emit EVENT { field: EXPR }`."""

    event: Ident
    values: tuple[Entry, ...] = ()


class ExecNode(Node, frozen=True):
    """`exec { command }`: what stands between the braces, trimmed."""

    command: str


class ParamNode(Node, frozen=True):
    """A parameter of a function; scripts leave the type out."""

    name: Ident
    type: "TypeName | RecordFields | None" = None


class FunctionNode(Node, frozen=True):
    """`function NAME(a: T, b) -> T { … }`."""

    name: Ident
    params: tuple[ParamNode, ...]
    result: "TypeName | RecordFields | None"
    body: "Body"


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
    | VarNode
    | AssignNode
    | DoNode
    | EmitNode
    | ExecNode
    | FunctionNode
)


# --- blocks ----------------------------------------------------------------------------------


class Names(Node, frozen=True):
    """`[a, b]`; `unique`, `text` or `geospatial` follow an index."""

    names: tuple[Ident, ...]
    unique: bool = False
    index_kind: str = ""


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


class TriggerNode(Node, frozen=True):
    """What starts a workflow, or a condition under which an event is sent: `event NAME`,
    `schedule "…"`, `schedule every 1h`, `manual`, `when COND`."""

    trigger: Literal["event", "schedule", "manual", "when"]
    value: "Ident | EveryNode | Expr | None" = None


class EveryNode(Node, frozen=True):
    """`every 1h`."""

    period: Literal_


class RateNode(Node, frozen=True):
    """`100 per 1m` of a rate limit, `5 failures in 1m` of a breaker."""

    count: Literal_
    period: Literal_ | None = None


class ActionNode(Node, frozen=True):
    """What a member does by name: `rollback`, `emit(Done)`, `email(to) { subject: … }`."""

    what: Expr
    options: tuple[Entry, ...] = ()


class CheckNode(Node, frozen=True):
    """`CONDITION [else "message"]`: what has to hold."""

    condition: Expr
    message: Expr | None = None


class ChecksNode(Node, frozen=True):
    """`validate { check … }`."""

    checks: tuple[CheckNode, ...]
    broken: bool = False


class QueryNode(Node, frozen=True):
    """A query as it was written; the query language reads it."""

    text: str


class RequestNode(Node, frozen=True):
    """`request NAME from body` of the oldest endpoints."""

    type: Ident
    source: Ident


class ResponseNode(Node, frozen=True):
    """`response NAME status 200` of the oldest endpoints."""

    type: Ident
    status: Literal_ | None


class ErrorNode(Node, frozen=True):
    """`error 404: "…"`."""

    status: Literal_
    message: Expr


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


class Block(Node, frozen=True):
    """`{ member … }`. `broken` says that a part of it could not be read, so what seems to be
    missing may only be unread."""

    members: tuple["Member", ...]
    broken: bool = False


class Labelled(Node, frozen=True):
    """`jwt { … }` after `auth:`, `postgres { … }` after `database:`. The block of a label alone
    has no members."""

    label: Ident
    block: Block


class Path(Node, frozen=True):
    """`/orders/{id}`; `holes` are the names in braces with their places. A path that was written
    `"/orders/:id"` has the same text, and `colons` is true: its parameters need no line."""

    text: str
    holes: tuple[Ident, ...]
    colons: bool = False


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
    | Choice
    | Item
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
    | TriggerNode
    | EveryNode
    | RateNode
    | ActionNode
    | EmitNode
    | CheckNode
    | ChecksNode
    | QueryNode
    | RequestNode
    | ResponseNode
    | ErrorNode
)


class Member(Node, frozen=True):
    """One entry of a block: `name: value`, `name { … }`, `operation LABEL { … }`. A member that
    was written without its colon looks the same."""

    name: Ident
    value: Value
    label: Ident | None = None


class Declaration(Node, frozen=True):
    """A top-level `keyword [NAME] { … }`; an endpoint has `method` and `path` for a name, a
    database the word `postgres` or `mongodb`.

    What has no block (a statement of a script, a function, `on … do …`) is in `statement`, and
    its `block` is empty. `line` is the absolute line of the first word, to which all lines inside
    are relative.
    """

    line: int
    keyword: Ident
    name: Ident | None
    block: Block
    method: Ident | None = None
    path: Path | None = None
    annotations: tuple[Annotation, ...] = ()
    statement: StatementNode | HandlerNode | None = None


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
