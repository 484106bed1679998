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


Kind = Literal["string", "int", "float", "duration", "bool", "null", "param"]

# --- values ------------------------------------------------------------------------------------


class Path(msgspec.Struct, frozen=True, tag=True):
    """`stock`, or `customer.name` through relations and into json."""

    names: tuple[Ref, ...]

    @property
    def at(self) -> Place:
        return self.names[0].at

    @property
    def text(self) -> str:
        return ".".join(each.name for each in self.names)


class Value(msgspec.Struct, frozen=True, tag=True):
    """`kind` is the literal's type, or `param`; `text` its content as written. A `bare` word is a
    text, or a field where the other side is no text."""

    kind: Kind
    text: str
    at: Place
    bare: bool = False


class Arith(msgspec.Struct, frozen=True, tag=True):
    """`LEFT OP RIGHT` with `+ - * /`."""

    op: str
    left: "Operand"
    right: "Operand"
    at: Place


class Func(msgspec.Struct, frozen=True, tag=True):
    """`name(args)`; `count(*)` has no arguments."""

    name: str
    args: "tuple[Operand, ...]"
    at: Place


Operand = Path | Value | Arith | Func


# --- conditions --------------------------------------------------------------------------------


class Test(msgspec.Struct, frozen=True, tag=True):
    """`LEFT OP value…`. `op` is one of = != < <= > >= in contains startswith endswith like ilike
    between null, and `is true` for a field alone."""

    left: Operand
    op: str
    values: tuple[Operand, ...]
    is_list: bool = False


class Search(msgspec.Struct, frozen=True, tag=True):
    """A phrase or a word looked for in the fields of a row that are marked `searchable`."""

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


# --- statements --------------------------------------------------------------------------------


class Column(msgspec.Struct, frozen=True):
    """What is selected, with its name where it has one of its own."""

    value: Operand
    name: Ref | None = None


class Order(msgspec.Struct, frozen=True):
    value: Operand
    descending: bool


class Assign(msgspec.Struct, frozen=True):
    field: Ref
    value: Operand


class Query(msgspec.Struct, frozen=True):
    """One query. `verb` is select, count, sum, avg, min, max, update, delete or filters; `entity`
    is missing for filters alone; `columns` empty means all fields, or after `group by` those."""

    verb: str
    entity: Ref | None
    columns: tuple[Column, ...] = ()
    assigned: tuple[Assign, ...] = ()
    include: tuple[Ref, ...] = ()
    where: Condition | None = None
    order: tuple[Order, ...] = ()
    group: tuple[Operand, ...] = ()
    having: Condition | None = None
    limit: Value | None = None
    offset: Value | None = None


def spelled(value: Operand) -> str:
    """An operand as a person writes it; two that mean the same are spelled alike."""
    match value:
        case Path():
            return value.text
        case Value(kind="string", text=text, bare=False):
            return f"'{text}'"
        case Value(kind="param", text=text):
            return f"@{text}"
        case Value(text=text):
            return text
        case Arith(op=op, left=left, right=right):
            return f"({spelled(left)} {op} {spelled(right)})"
        case Func(name=name, args=args):
            inside = ", ".join(spelled(each) for each in args)
            return f"{name}({inside or ('*' if name == 'count' else '')})"
