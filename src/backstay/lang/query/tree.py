"""A query as read: frozen, with places, nothing resolved."""

from typing import Literal

import msgspec


class Place(msgspec.Struct, frozen=True, gc=False):
    """Line and column, counted from 1."""

    line: int
    column: int


class Ref(msgspec.Struct, frozen=True):
    """A name of an entity, field or relation."""

    name: str
    at: Place


class Value(msgspec.Struct, frozen=True):
    """`kind` is the literal's type, or `param`; `text` its content as written."""

    kind: Literal["string", "int", "float", "bool", "null", "param"]
    text: str
    at: Place
    bare: bool = False


class Test(msgspec.Struct, frozen=True, tag=True):
    """`field OP value…`. `op` is one of = != < <= > >= in contains startswith endswith like ilike
    between null."""

    field: Ref
    op: str
    values: tuple[Value, ...]
    is_list: bool = False


class Search(msgspec.Struct, frozen=True, tag=True):
    """A word looked for in the whole row."""

    text: str
    fuzzy: bool
    at: Place


class Not(msgspec.Struct, frozen=True, tag=True):
    condition: "Condition"


class Both(msgspec.Struct, frozen=True, tag=True):
    """`and` and `or` over two or more."""

    op: Literal["and", "or"]
    parts: "tuple[Condition, ...]"


Condition = Test | Search | Not | Both


class Order(msgspec.Struct, frozen=True):
    field: Ref
    descending: bool


class Assign(msgspec.Struct, frozen=True):
    field: Ref
    value: Value


class Query(msgspec.Struct, frozen=True):
    """One query. `verb` is select, count, sum, avg, min, max, update, delete or filters; `entity`
    is missing for filters alone; `fields` empty means all."""

    verb: str
    entity: Ref | None
    fields: tuple[Ref, ...] = ()
    assigned: tuple[Assign, ...] = ()
    include: tuple[Ref, ...] = ()
    where: Condition | None = None
    order: tuple[Order, ...] = ()
    group: tuple[Ref, ...] = ()
    having: Condition | None = None
    limit: int | None = None
    offset: int | None = None
