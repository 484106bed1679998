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
    "string",
    "text",
    "int",
    "float",
    "bool",
    "uuid",
    "timestamp",
    "date",
    "time",
    "duration",
    "json",
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


class Choose(Frozen, frozen=True, tag="choose"):
    """`CONDITION ? THEN : OTHERWISE`; only the one that is chosen is computed."""

    condition: "Expr"
    then: "Expr"
    otherwise: "Expr"
    type: Type


class ItemAt(Frozen, frozen=True, tag="item"):
    """`LIST[INDEX]`, counted from 0."""

    of: "Expr"
    index: "Expr"
    type: Type


class Listed(Frozen, frozen=True, tag="listed"):
    """`[a, b]` as a value."""

    items: tuple["Expr", ...]
    type: Type


Expr = (
    Constant
    | Name
    | Get
    | Column
    | Binary
    | Unary
    | Call
    | Sum
    | Map
    | Record
    | Aggregate
    | Env
    | Choose
    | ItemAt
    | Listed
)


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
    Create | Update | Delete | Let | For | If | Fail | Start | Emit | Assign | Act | Exec | Return
)


# --- declarations ----------------------------------------------------------------------------


class Field(Frozen, frozen=True):
    """A column, an input, a body member. `minimum`/`maximum` bound numbers, or lengths.
    `auto_update` is set at each change; `searchable` is looked through by a search."""

    name: str
    type: Type
    required: bool = False
    primary: bool = False
    auto: bool = False
    unique: bool = False
    default: Expr | None = None
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    auto_update: bool = False
    searchable: bool = False
    pattern: str = ""


class Access(Frozen, frozen=True):
    """Row rules (decision 8); None means admin only once auth is configured."""

    read: Expr | None = None
    create: Expr | None = None
    update: Expr | None = None
    delete: Expr | None = None


class Index(Frozen, frozen=True):
    """`kind` is `text` or `geospatial` for the indexes of a collection."""

    fields: tuple[str, ...]
    unique: bool = False
    kind: str = ""


class Entity(Frozen, frozen=True):
    name: str
    table: str
    fields: tuple[Field, ...]
    indexes: tuple[Index, ...] = ()
    access: Access = Access()
    description: str = ""
    soft_delete: bool = False

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


class Check(Frozen, frozen=True):
    """What has to hold; `message` is the answer when it does not."""

    condition: Expr
    message: Expr | None = None


class Rate(Frozen, frozen=True):
    """`count` within `seconds`."""

    count: int
    seconds: float


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


class Settings(Frozen, frozen=True):
    """`label { name: value, … }`: settings that only the one who reads them knows. A value alone
    stands under the empty name; settings in settings have dotted names."""

    label: str
    values: tuple[tuple[str, Expr], ...]


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


class ActStep(Frozen, frozen=True, tag="act_step"):
    """`action: …`, `send: …`, or the `activity` of an old workflow."""

    verb: Literal["action", "send", "activity"]
    act: Act


class EmitStep(Frozen, frozen=True, tag="emit_step"):
    """`emit: EVENT { … }`."""

    emit: Emit


class QueryStep(Frozen, frozen=True, tag="query_step"):
    """`query: select …`: what the query language reads."""

    text: str


class ParallelStep(Frozen, frozen=True, tag="parallel"):
    """`parallel { … }`: steps that run side by side; the next waits for all of them."""

    steps: tuple["Step", ...]


class NoWork(Frozen, frozen=True, tag="none"):
    """A step that only checks."""


Work = DoStep | CallStep | TaskStep | ActStep | EmitStep | QueryStep | ParallelStep | NoWork


class Trigger(Frozen, frozen=True):
    """What starts a workflow: the event of this name, a schedule, or a person."""

    kind: Literal["event", "schedule", "manual"]
    event: str = ""
    schedule: str = ""
    every: float = 0.0


class Step(Frozen, frozen=True):
    """`when` false skips it. `timeout` is seconds for one attempt; 0 means the workflow's.

    `for_each` runs it once for each item, which is `item` or has the name in `into`; `check` fails
    it before its work; `into` names its output besides `steps.NAME`; `options` are the members
    that only the work knows (`template`, `data`, …)."""

    name: str
    work: Work
    when: Expr | None = None
    timeout: float = 0.0
    retry: Retry = Retry()
    compensate: Work | None = None
    for_each: Expr | None = None
    check: Check | None = None
    into: str = ""
    options: tuple[tuple[str, Expr], ...] = ()
    on_success: Act | None = None
    on_fail: Act | None = None


class Workflow(Frozen, frozen=True):
    """Steps in order; `steps.NAME` is a finished step's output in later expressions."""

    name: str
    input: tuple[Field, ...]
    steps: tuple[Step, ...]
    timeout: float = 86400.0
    on_fail: tuple[Statement, ...] = ()
    description: str = ""
    trigger: Trigger | None = None
    signals: tuple[Field, ...] = ()
    on_complete: tuple[Statement, ...] = ()
    retry: Retry | None = None


class Job(Frozen, frozen=True):
    """Five-field cron in `timezone`, or each `every` seconds. One of `body`, `task` and `steps`
    says what it does."""

    name: str
    schedule: str
    timezone: str
    body: tuple[Statement, ...]
    description: str = ""
    every: float = 0.0
    task: TaskStep | None = None
    steps: tuple[Step, ...] = ()
    queue: str = ""
    timeout: float = 0.0
    retry: Retry | None = None
    on_complete: tuple[Statement, ...] = ()
    on_fail: tuple[Statement, ...] = ()


class Operation(Frozen, frozen=True):
    """`path` may hold `{arg}` holes; other args form the JSON body (or the query of a GET)."""

    name: str
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    settings: tuple[tuple[str, Settings], ...] = ()
    returns: Type | None = None


class BreakerRule(Frozen, frozen=True):
    """`window` bounds the time in which the failures count; 0 counts those in a row."""

    threshold: int = 5
    open_seconds: float = 60.0
    probes: int = 3
    window: float = 0.0


class Integration(Frozen, frozen=True):
    """An HTTP service. `base_url` and `token` may be `Env`. `retry` holds outside workflows."""

    name: str
    base_url: Expr
    operations: tuple[Operation, ...]
    token: Expr | None = None
    timeout: float = 30.0
    breaker: BreakerRule = BreakerRule()
    retry: Retry = Retry()
    type: str = "rest"
    auth: Settings | None = None
    headers: tuple[tuple[str, Expr], ...] = ()
    rate_limit: Rate | None = None
    settings: tuple[tuple[str, Settings], ...] = ()


class Event(Frozen, frozen=True):
    """`publish` says where it goes besides the program itself; `when` bounds when it is sent."""

    name: str
    payload: tuple[Field, ...]
    publish: tuple[Act, ...] = ()
    when: Expr | None = None
    description: str = ""


class Handler(Frozen, frozen=True):
    """`on EVENT do ACTION TARGET [async]`."""

    event: str
    action: str
    target: str
    asynchronous: bool = False


class Function(Frozen, frozen=True):
    """A function of the program."""

    name: str
    params: tuple[Field, ...]
    body: tuple[Statement, ...]
    result: Type


class Role(Frozen, frozen=True):
    name: str
    permissions: tuple[str, ...]


class Provider(Frozen, frozen=True):
    """`auth NAME { method … }`."""

    name: str
    method: str
    jwks_url: Expr | None = None
    issuer: str = ""
    audience: str = ""


class Middleware(Frozen, frozen=True):
    name: str
    type: str
    config: Settings


class Webhook(Frozen, frozen=True):
    name: str
    event: str
    url: Expr
    method: str = "POST"
    headers: tuple[tuple[str, Expr], ...] = ()
    retry: Retry = Retry()


class ModelField(Frozen, frozen=True):
    """`type` as it is written; `fields` are those of an embedded document."""

    name: str
    type: str
    modifiers: tuple[str, ...] = ()
    fields: tuple["ModelField", ...] = ()


class Model(Frozen, frozen=True):
    """A `model` or `collection` of a `database` block."""

    name: str
    database: Literal["postgres", "mongodb"]
    fields: tuple[ModelField, ...]
    indexes: tuple[Index, ...] = ()
    description: str = ""


class Place(Frozen, frozen=True):
    """A place in the sources; line and column count from 1."""

    file: str
    line: int
    column: int


class Auth(Frozen, frozen=True):
    """`config { auth: jwt {…} }`: HS256 with `secret`, or keys from `jwks_url` (next version)."""

    secret: Expr
    issuer: str = ""
    audience: str = ""


class Program(Frozen, frozen=True):
    """`hash` is the SHA-256 of the sources in the order of their names; it pins executions.

    `uses` names each construct of the language that the program uses (`endpoint.cache`,
    `statement.emit`), with its first places: a runtime serves the program if it runs all of them.
    """

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
    events: tuple[Event, ...] = ()
    handlers: tuple[Handler, ...] = ()
    functions: tuple[Function, ...] = ()
    roles: tuple[Role, ...] = ()
    providers: tuple[Provider, ...] = ()
    middleware: tuple[Middleware, ...] = ()
    webhooks: tuple[Webhook, ...] = ()
    models: tuple[Model, ...] = ()
    script: tuple[Statement, ...] = ()
    settings: tuple[tuple[str, Settings], ...] = ()
    uses: tuple[tuple[str, tuple[Place, ...]], ...] = ()

    def entity(self, name: str) -> Entity:
        """Raises KeyError; a checked program has no dangling name."""
        for entity in self.entities:
            if entity.name == name:
                return entity
        raise KeyError(name)
