"""What `do { … }`, a function or a script does, one after the other."""

from backstay.lang.program.tests import (
    Advance,
    Assert,
    Expect,
    Given,
    RunWorkflow,
    Stub,
    Visit,
)
from backstay.lang.program.values import Expr, Frozen, Type


class Create(Frozen, frozen=True, tag="create"):
    """`[let NAME =] create ENTITY { field: EXPR }`. A `ManyType` field takes a list of records,
    created in the same transaction with the reference back filled in."""

    entity: str
    values: tuple[tuple[str, Expr], ...]
    into: str = ""


class Update(Frozen, frozen=True, tag="update"):
    """`update ENTITY where EXPR { field: EXPR } [else fail "…"]`. The condition and the change are
    one statement; when no row matched and `otherwise` is given, the transaction fails with it."""

    entity: str
    where: Expr
    values: tuple[tuple[str, Expr], ...]
    otherwise: "Fail | None" = None


class Delete(Frozen, frozen=True, tag="delete"):
    entity: str
    where: Expr


class Restore(Frozen, frozen=True, tag="restore"):
    """`restore ENTITY where EXPR`: rows that `delete` marked come back."""

    entity: str
    where: Expr


class Let(Frozen, frozen=True, tag="let"):
    name: str
    value: Expr


class Ask(Frozen, frozen=True, tag="ask"):
    """`let NAME = query "…"`: rows as records, or the one value of `count(E)` and its like.
    `parameters` are the values of `@name`."""

    into: str
    text: str
    type: Type
    parameters: tuple[tuple[str, Expr], ...] = ()


class For(Frozen, frozen=True, tag="for"):
    """`for NAME in LIST { … }`."""

    variable: str
    items: Expr
    body: tuple["Statement", ...]


class If(Frozen, frozen=True, tag="if"):
    condition: Expr
    then: tuple["Statement", ...]
    otherwise: tuple["Statement", ...] = ()


class Fail(Frozen, frozen=True, tag="fail"):
    """`fail [STATUS] "text with {path} holes"`: rolls back, answers `status` (409 by default)."""

    message: Expr
    status: int = 409


class Start(Frozen, frozen=True, tag="start"):
    """`[let NAME =] start WORKFLOW { input }`: the execution row commits with everything else."""

    workflow: str
    input: tuple[tuple[str, Expr], ...]
    into: str = ""


class Emit(Frozen, frozen=True, tag="emit"):
    """`emit EVENT { field: EXPR }`: the event is kept with everything else that is written."""

    event: str
    values: tuple[tuple[str, Expr], ...]


class Assign(Frozen, frozen=True, tag="assign"):
    """`NAME = EXPR`: a variable that was made by `var` takes another value."""

    name: str
    value: Expr


class Act(Frozen, frozen=True, tag="act"):
    """Something done by its name: `rollback`, `email(to) { subject: … }`, a step of the oldest
    endpoints (`rows = find(users) where "…" with { limit: 5 }`), a call as a statement."""

    name: str
    args: tuple[Expr, ...] = ()
    options: tuple[tuple[str, Expr], ...] = ()
    where: Expr | None = None
    into: str = ""


class Exec(Frozen, frozen=True, tag="exec"):
    """`exec { command }`: run by a shell, and only where that is allowed."""

    command: str


class Return(Frozen, frozen=True, tag="return"):
    """`return EXPR` inside a function."""

    value: Expr


Statement = (
    Create
    | Update
    | Delete
    | Restore
    | Ask
    | Let
    | For
    | If
    | Fail
    | Start
    | Emit
    | Assign
    | Act
    | Exec
    | Return
    | Assert
    | Given
    | Stub
    | Visit
    | RunWorkflow
    | Advance
    | Expect
)
