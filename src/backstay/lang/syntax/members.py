"""Members of a block: their values, and the block itself."""

from typing import Literal

from backstay.lang.syntax.expressions import (
    BinaryExpr,
    CallExpr,
    Choice,
    Dot,
    Each,
    Entry,
    Expr,
    Item,
    Lambda,
    ListExpr,
    Literal_,
    NameExpr,
    RecordExpr,
    Text,
    UnaryExpr,
    Where,
)
from backstay.lang.syntax.nodes import Ident, Node
from backstay.lang.syntax.statements import Body, EmitNode, QueryNode
from backstay.lang.syntax.types import FieldNode, RecordFields, TypeName


class Names(Node, frozen=True):
    """`[a, b]`; `unique`, `text` or `geospatial` follow an index."""

    names: tuple[Ident, ...]
    unique: bool = False
    index_kind: str = ""


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
    | Lambda
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
