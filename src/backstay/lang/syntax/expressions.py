"""Expressions as they were written."""

from typing import Literal

from backstay.lang.syntax.nodes import Ident, Node, Range


class Literal_(Node, frozen=True, tag="Literal"):  # noqa: N801 - typing has the plain name
    """`value` is text for strings and decimals, seconds for durations."""

    literal: Literal["string", "int", "decimal", "duration", "bool", "null"]
    value: str | int | float | bool | None


class Text(Node, frozen=True):
    """A string with holes: `"order {order.id}"`."""

    parts: tuple["str | Expr", ...]


class NameExpr(Node, frozen=True):
    name: str


class Dot(Node, frozen=True):
    of: "Expr"
    field: Ident


class CallExpr(Node, frozen=True):
    callee: "Expr"
    args: tuple["Expr", ...]


class BinaryExpr(Node, frozen=True):
    op: str
    op_span: Range
    left: "Expr"
    right: "Expr"


class UnaryExpr(Node, frozen=True):
    op: str
    operand: "Expr"


class RecordExpr(Node, frozen=True):
    fields: tuple["Entry", ...]


class Entry(Node, frozen=True):
    """`name: EXPR` of a record, a create, an update or the arguments of a call."""

    name: Ident
    value: "Expr"


class ListExpr(Node, frozen=True):
    items: tuple["Expr", ...]


class Each(Node, frozen=True):
    """`[x in LIST: EXPR]`, and the inside of `sum(x in LIST: EXPR)`."""

    variable: Ident
    items: "Expr"
    value: "Expr"


class Where(Node, frozen=True):
    """`TARGET where CONDITION` inside an aggregate."""

    target: "Expr"
    condition: "Expr"


class Choice(Node, frozen=True):
    """`CONDITION ? THEN : OTHERWISE`."""

    condition: "Expr"
    then: "Expr"
    otherwise: "Expr"


class Item(Node, frozen=True):
    """`LIST[INDEX]`."""

    of: "Expr"
    index: "Expr"


class Lambda(Node, frozen=True):
    """`x => EXPR`, an argument of `map`, `filter` and their like."""

    variable: Ident
    value: "Expr"


Expr = (
    Literal_
    | Text
    | NameExpr
    | Dot
    | CallExpr
    | BinaryExpr
    | UnaryExpr
    | RecordExpr
    | ListExpr
    | Each
    | Where
    | Choice
    | Item
    | Lambda
)
