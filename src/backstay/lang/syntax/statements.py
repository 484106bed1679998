"""Statements as they were written, and the braces around them."""

from backstay.lang.syntax.expressions import CallExpr, Dot, Entry, Expr, Literal_, NameExpr
from backstay.lang.syntax.nodes import Ident, Node
from backstay.lang.syntax.tests import (
    AdvanceNode,
    AssertNode,
    ExpectNode,
    GivenNode,
    RunNode,
    StubNode,
    VisitNode,
)
from backstay.lang.syntax.types import RecordFields, TypeName


class CreateNode(Node, frozen=True):
    entity: Ident
    values: tuple[Entry, ...]


class StartNode(Node, frozen=True):
    workflow: Ident
    input: tuple[Entry, ...]


class QueryNode(Node, frozen=True):
    """A query as it was written; the query language reads it."""

    text: str


class LetNode(Node, frozen=True):
    name: Ident
    value: Expr | CreateNode | StartNode | QueryNode | GivenNode | RunNode | VisitNode


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


class RestoreNode(Node, frozen=True):
    """Deleted rows that come back, of an entity that keeps them."""

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
    | RestoreNode
    | ForNode
    | IfNode
    | ReturnNode
    | VarNode
    | AssignNode
    | DoNode
    | EmitNode
    | ExecNode
    | FunctionNode
    | AssertNode
    | GivenNode
    | StubNode
    | VisitNode
    | RunNode
    | AdvanceNode
    | ExpectNode
)


class Body(Node, frozen=True):
    """`{ statement … }`."""

    statements: tuple[StatementNode, ...]
    broken: bool = False


class TestNode(Node, frozen=True):
    """`test "name" { statement … }`."""

    name: Literal_
    body: Body
