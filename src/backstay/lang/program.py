"""The checked program: what the runtime takes, frozen and free of syntax.

Every name is resolved, every expression carries its type, every duration is seconds. A value of
`Program` can be served as it is; nothing in it needs a second look at the source.
"""

from decimal import Decimal
from typing import Literal

import msgspec


class Frozen(msgspec.Struct, frozen=True, tag_field="node"):
    """The tag is `node`, because an expression's `type` is its type."""


# --- types -----------------------------------------------------------------------------------

ScalarName = Literal[
    "string", "text", "int", "float", "bool", "uuid", "timestamp", "date", "duration", "json"
]


class ScalarType(Frozen, frozen=True, tag="scalar"):
    name: ScalarName


class DecimalType(Frozen, frozen=True, tag="decimal"):
    """`precision` digits in all, `scale` of them after the point. Stored scaled on SQLite."""

    precision: int
    scale: int


class EnumType(Frozen, frozen=True, tag="enum"):
    members: tuple[str, ...]


class RefType(Frozen, frozen=True, tag="ref"):
    """The primary key of a row of `entity`; a dotted path goes through it to the row's fields."""

    entity: str


class ManyType(Frozen, frozen=True, tag="many"):
    """The rows of `entity` whose field `via` refers to this row. Not a column."""

    entity: str
    via: str


class ListType(Frozen, frozen=True, tag="list"):
    item: "Type"


class RecordType(Frozen, frozen=True, tag="record"):
    fields: tuple["Field", ...]


class RowType(Frozen, frozen=True, tag="row"):
    """A whole row of an entity, as `create` and `get` give it."""

    entity: str


class UnknownType(Frozen, frozen=True, tag="unknown"):
    """Known only at run time (an integration's answer)."""


Type = (
    ScalarType
    | DecimalType
    | EnumType
    | RefType
    | ManyType
    | ListType
    | RecordType
    | RowType
    | UnknownType
)


# --- expressions -----------------------------------------------------------------------------


class Constant(Frozen, frozen=True, tag="constant"):
    """A constant. Decimals are `Decimal`, durations `float` seconds."""

    value: str | int | float | bool | Decimal | None
    type: Type


class Name(Frozen, frozen=True, tag="name"):
    """A variable in scope: `body`, `path`, `query`, `user`, an input, a `let`, a loop variable."""

    name: str
    type: Type


class Get(Frozen, frozen=True, tag="get"):
    """`of.field`. Through a `RefType` the row is loaded, through a `ManyType` all its rows."""

    of: "Expr"
    field: str
    type: Type


class Column(Frozen, frozen=True, tag="column"):
    """A field of the row that a `where`, `set` or access rule speaks of. A bare name there is the
    column first; the head of a dotted path is the variable first (`where order == order.id`)."""

    field: str
    type: Type


class Binary(Frozen, frozen=True, tag="binary"):
    """`and or == != < <= > >= + - * / in ??`.

    `x in [a, b]` arrives as `x == a or x == b`. `+` between texts joins them. A constant beside a
    column has the column's type (`"paid"` an `EnumType`, `5` a `Decimal`). `null` is
    `Constant(None, UnknownType())`.
    """

    op: str
    left: "Expr"
    right: "Expr"
    type: Type


class Unary(Frozen, frozen=True, tag="unary"):
    """`not` and `-`."""

    op: str
    operand: "Expr"
    type: Type


class Call(Frozen, frozen=True, tag="call"):
    """A function of the standard library: `now today uuid len lower upper trim contains
    starts_with ends_with abs round text`, and `user.has("admin")` (name `user.has`). The list
    with its types is `check.calls.FUNCTIONS`.

    A text with holes, `"order {order.id}"`, is `Call("text", (Constant("order "), Get(…)))`: its
    parts in order, each to be written as a text.
    """

    name: str
    args: tuple["Expr", ...]
    type: Type


class Sum(Frozen, frozen=True, tag="sum"):
    """`sum(line in LIST: EXPR)`."""

    variable: str
    items: "Expr"
    value: "Expr"
    type: Type


class Map(Frozen, frozen=True, tag="map"):
    """`[line in LIST: EXPR]`: a list made of a list; nested creates use it with a record."""

    variable: str
    items: "Expr"
    value: "Expr"
    type: Type


class Record(Frozen, frozen=True, tag="record_value"):
    """`{ name: EXPR, … }`."""

    fields: tuple[tuple[str, "Expr"], ...]
    type: Type


class Aggregate(Frozen, frozen=True, tag="aggregate"):
    """`count(Order where …)`, `sum(Order.total where …)`; `field` is empty for count."""

    op: Literal["count", "sum", "avg", "min", "max"]
    entity: str
    field: str
    where: "Expr | None"
    type: Type


class Env(Frozen, frozen=True, tag="env"):
    """`env("NAME")` or `env("NAME", "default")`, read once at start."""

    name: str
    default: str | None
    type: Type


Expr = Constant | Name | Get | Column | Binary | Unary | Call | Sum | Map | Record | Aggregate | Env


# --- statements ------------------------------------------------------------------------------


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


class Let(Frozen, frozen=True, tag="let"):
    name: str
    value: Expr


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


Statement = Create | Update | Delete | Let | For | If | Fail | Start


# --- declarations ----------------------------------------------------------------------------


class Field(Frozen, frozen=True):
    """A column, an input, a body member. `minimum`/`maximum` bound numbers, or lengths."""

    name: str
    type: Type
    required: bool = False
    primary: bool = False
    auto: bool = False
    unique: bool = False
    default: Expr | None = None
    minimum: Decimal | None = None
    maximum: Decimal | None = None


class Access(Frozen, frozen=True):
    """Row rules (decision 8); None means admin only once auth is configured."""

    read: Expr | None = None
    create: Expr | None = None
    update: Expr | None = None
    delete: Expr | None = None


class Index(Frozen, frozen=True):
    fields: tuple[str, ...]
    unique: bool = False


class Entity(Frozen, frozen=True):
    name: str
    table: str
    fields: tuple[Field, ...]
    indexes: tuple[Index, ...] = ()
    access: Access = Access()
    description: str = ""

    @property
    def key(self) -> str:
        """Name of the primary key field."""
        return next(field.name for field in self.fields if field.primary)


class ListOf(Frozen, frozen=True, tag="list_of"):
    """`returns: paginated(ENTITY)` with the fields one may filter and sort by."""

    entity: str
    filter: tuple[str, ...] = ()
    sort: tuple[str, ...] = ()
    where: Expr | None = None
    page_size: int = 20
    page_limit: int = 100


class OneOf(Frozen, frozen=True, tag="one_of"):
    """`returns: ENTITY` by the path's key; `include` names `ManyType` or `RefType` fields."""

    entity: str
    key: Expr
    include: tuple[str, ...] = ()


class Action(Frozen, frozen=True, tag="action"):
    """`do { … }` in one transaction, then `returns` (a row variable or a record)."""

    body: tuple[Statement, ...]
    returns: Expr | None = None
    include: tuple[str, ...] = ()


class Endpoint(Frozen, frozen=True):
    """`auth`: public needs nothing, optional takes a token, required wants one; `roles` are any-of.

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


class Retry(Frozen, frozen=True):
    """`times` tries in all; delays in seconds. The step's policy is the only owner of retries."""

    times: int = 1
    backoff: Literal["fixed", "linear", "exponential"] = "exponential"
    initial: float = 1.0
    cap: float = 60.0


class DoStep(Frozen, frozen=True, tag="do"):
    """Database-only: effect and fact commit together."""

    body: tuple[Statement, ...]


class CallStep(Frozen, frozen=True, tag="call"):
    """A call of an integration's operation with an idempotency key of the step."""

    integration: str
    operation: str
    args: tuple[tuple[str, Expr], ...]


class TaskStep(Frozen, frozen=True, tag="task"):
    """Work for an outside worker: `task COMMAND { … }` on the queue."""

    command: str
    payload: Expr


Work = DoStep | CallStep | TaskStep


class Step(Frozen, frozen=True):
    """`when` false skips it. `timeout` is seconds for one attempt; 0 means the workflow's."""

    name: str
    work: Work
    when: Expr | None = None
    timeout: float = 0.0
    retry: Retry = Retry()
    compensate: Work | None = None


class Workflow(Frozen, frozen=True):
    """Steps in order; `steps.NAME` is a finished step's output in later expressions."""

    name: str
    input: tuple[Field, ...]
    steps: tuple[Step, ...]
    timeout: float = 86400.0
    on_fail: tuple[Statement, ...] = ()
    description: str = ""


class Job(Frozen, frozen=True):
    """Five-field cron in `timezone`; database work only in this version."""

    name: str
    schedule: str
    timezone: str
    body: tuple[Statement, ...]
    description: str = ""


class Operation(Frozen, frozen=True):
    """`path` may hold `{arg}` holes; other args form the JSON body (or the query of a GET)."""

    name: str
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str


class BreakerRule(Frozen, frozen=True):
    threshold: int = 5
    open_seconds: float = 60.0
    probes: int = 3


class Integration(Frozen, frozen=True):
    """An HTTP service. `base_url` and `token` may be `Env`. `retry` holds outside workflows."""

    name: str
    base_url: Expr
    operations: tuple[Operation, ...]
    token: Expr | None = None
    timeout: float = 30.0
    breaker: BreakerRule = BreakerRule()
    retry: Retry = Retry()


class Auth(Frozen, frozen=True):
    """`config { auth: jwt {…} }`: HS256 with `secret`, or keys from `jwks_url` (next version)."""

    secret: Expr
    issuer: str = ""
    audience: str = ""


class Program(Frozen, frozen=True):
    """`hash` is the SHA-256 of the sources in the order of their names; it pins executions."""

    name: str
    version: str
    hash: str
    sources: tuple[tuple[str, str], ...]
    auth: Auth | None
    entities: tuple[Entity, ...]
    endpoints: tuple[Endpoint, ...]
    workflows: tuple[Workflow, ...]
    jobs: tuple[Job, ...]
    integrations: tuple[Integration, ...]

    def entity(self, name: str) -> Entity:
        """Raises KeyError; a checked program has no dangling name."""
        for entity in self.entities:
            if entity.name == name:
                return entity
        raise KeyError(name)
