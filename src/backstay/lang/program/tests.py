"""Tests of a program: `codeai test` runs them, a server does not look at them."""

from backstay.lang.program.values import Expr, Frozen


class Assert(Frozen, frozen=True, tag="assert"):
    """`assert CONDITION [else "text"]`."""

    condition: Expr
    message: Expr | None = None


class Given(Frozen, frozen=True, tag="given"):
    """`[let NAME =] given ENTITY { field: EXPR }`: a row, made past every access rule."""

    entity: str
    values: tuple[tuple[str, Expr], ...]
    into: str = ""


class Stub(Frozen, frozen=True, tag="stub"):
    """From here on the operation answers with `returns`, or with the HTTP status `fails`; nothing
    is called. An integration without a stub fails the test that needs it."""

    integration: str
    operation: str
    returns: Expr | None = None
    fails: int = 0


class Visit(Frozen, frozen=True, tag="visit"):
    """`[let NAME =] call METHOD /path { body } as { id: … }`. The name has `status` and `body`."""

    method: str
    path: Expr
    body: Expr | None = None
    user: Expr | None = None
    into: str = ""


class RunWorkflow(Frozen, frozen=True, tag="run"):
    """`[let NAME =] run WORKFLOW { input }`: followed until it ends or waits for a later moment.
    The name has `id`, `status` and `error`."""

    workflow: str
    input: tuple[tuple[str, Expr], ...]
    into: str = ""


class Advance(Frozen, frozen=True, tag="advance"):
    """`advance DURATION`: timers, retries, jobs and timeouts that fall due happen, in order."""

    period: Expr


class Expect(Frozen, frozen=True, tag="expect"):
    """`expect ENTITY where CONDITION { field: EXPR }`: at least one row is there, and each that is
    there has these values."""

    entity: str
    where: Expr
    values: tuple[tuple[str, Expr], ...]
