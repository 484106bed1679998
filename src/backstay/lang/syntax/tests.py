"""What stands in `test "name" { … }` alone: what is there before, what is done, what must hold."""

from backstay.lang.syntax.expressions import Entry, Expr, Literal_, RecordExpr
from backstay.lang.syntax.nodes import Ident, Node


class AssertNode(Node, frozen=True):
    """`assert CONDITION [else "text"]`."""

    condition: Expr
    message: Expr | None = None


class GivenNode(Node, frozen=True):
    """`[let NAME =] given ENTITY { field: EXPR }`: a row that is there, whoever may write it."""

    entity: Ident
    values: tuple[Entry, ...]


class StubNode(Node, frozen=True):
    """`stub INTEGRATION.OPERATION returns EXPR`, or `… fails STATUS`."""

    integration: Ident
    operation: Ident
    returns: Expr | None = None
    fails: Literal_ | None = None


class VisitNode(Node, frozen=True):
    """`[let NAME =] call METHOD /path/{expr} [{ body }] [as { id: EXPR, roles: […] }]`."""

    method: Ident
    path: Expr
    body: RecordExpr | None = None
    user: RecordExpr | None = None


class RunNode(Node, frozen=True):
    """`[let NAME =] run WORKFLOW { input }`: started, and followed until it ends or waits."""

    workflow: Ident
    input: tuple[Entry, ...]


class AdvanceNode(Node, frozen=True):
    """`advance DURATION`: the virtual clock goes on, and what falls due happens."""

    period: Expr


class ExpectNode(Node, frozen=True):
    """`expect ENTITY where CONDITION { field: EXPR }`: such rows are there, with these values."""

    entity: Ident
    where: Expr
    values: tuple[Entry, ...]
