"""Types, expressions and fields.

The three know each other (a record type has fields, a field a default, an expression a type), so
they stand together.
"""

from decimal import Decimal
from typing import Literal

import msgspec


class Frozen(msgspec.Struct, frozen=True, tag_field="node"):
    """The tag is `node`, because an expression's `type` is its type."""


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


class Lambda(Frozen, frozen=True, tag="lambda"):
    """`x => EXPR` as an argument of a function; `type` is that of `value`. `map(xs, x => …)` and
    `sum(xs, x => …)` arrive as `Map` and `Sum`."""

    variable: str
    value: "Expr"
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
    | Lambda
)


class Field(Frozen, frozen=True):
    """A column, an input, a body member. `minimum`/`maximum` bound numbers, or lengths.
    `auto_update` is set at each change; `searchable` is looked through by a search; a text has to
    hold `pattern`, a regular expression, somewhere. `indexed` has an index of its own."""

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
    indexed: bool = False
