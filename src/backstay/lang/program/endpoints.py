"""Endpoints and what they answer."""

from typing import Literal

from backstay.lang.program.rules import Check, Rate, Settings
from backstay.lang.program.statements import Act, Statement
from backstay.lang.program.values import Expr, Field, Frozen, RecordType, Type


class ListOf(Frozen, frozen=True, tag="list_of"):
    """`returns: paginated(ENTITY)` with the fields one may filter and sort by.

    `include` names `ManyType` or `RefType` fields. `paged` is false for `returns: list(ENTITY)`,
    which answers the rows themselves, `page_limit` of them at most, without pages around them.
    `picked` are the fields that an answer has, where `returns` is a shape that is written out.
    """

    entity: str
    filter: tuple[str, ...] = ()
    sort: tuple[str, ...] = ()
    where: Expr | None = None
    page_size: int = 20
    page_limit: int = 100
    include: tuple[str, ...] = ()
    paged: bool = True
    picked: tuple[str, ...] = ()


class OneOf(Frozen, frozen=True, tag="one_of"):
    """`returns: ENTITY` by the path's key; `include` names `ManyType` or `RefType` fields, `picked`
    as in a list."""

    entity: str
    key: Expr
    include: tuple[str, ...] = ()
    picked: tuple[str, ...] = ()


class Action(Frozen, frozen=True, tag="action"):
    """`do { … }` in one transaction, then `returns` (a row variable or a record). `promise` is the
    type that the endpoint's `returns` names: of a row it may be a record of some of its fields."""

    body: tuple[Statement, ...]
    returns: Expr | None = None
    include: tuple[str, ...] = ()
    promise: Type | None = None


class Repeats(Frozen, frozen=True):
    """`idempotency`: the header (in lower case) whose key makes a write safe to repeat, whether one
    is wanted, and for how many seconds its answer is kept."""

    required: bool = False
    header: str = "idempotency-key"
    keep: float = 24 * 3600.0


class Endpoint(Frozen, frozen=True):
    """`auth`: public needs nothing, optional takes a token, required wants one; `roles` are any-of,
    `require_role` is wanted besides.

    `path` is under `/api/v1`, with `{name}` holes that `path_fields` types.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    auth: Literal["public", "optional", "required"]
    does: ListOf | OneOf | Action
    roles: tuple[str, ...] = ()
    path_fields: tuple[Field, ...] = ()
    query_fields: tuple[Field, ...] = ()
    body: RecordType | None = None
    status: int = 200
    description: str = ""
    header_fields: tuple[Field, ...] = ()
    validate: tuple[Check, ...] = ()
    errors: tuple[tuple[int, Expr], ...] = ()
    on_success: Act | None = None
    middleware: tuple[str, ...] = ()
    cache: "Settings | None" = None
    rate_limit: Rate | None = None
    timeout: float = 0.0
    request: tuple[str, str] | None = None
    response: tuple[str, int] | None = None
    annotations: tuple[tuple[str, str], ...] = ()
    require_role: str = ""
    repeats: Repeats = Repeats()
