"""What a condition or a change asks of a column that a database does not compute.

Conditions on rows become SQL, and both databases have to say the same. What they do not know alike
is noted with its place, so that a runtime refuses it there.
"""

from collections.abc import Sequence

import msgspec

from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.scope import Scope
from backstay.lang.check.types import FLOAT, is_text
from backstay.lang.check.world import Checker

_KNOWN = ("len", "length", "abs", "contains", "starts_with")


def speaks_of_columns(node: object) -> bool:
    """Whether the row itself is needed. An aggregate speaks of its own rows, not of this one."""
    match node:
        case p.Column():
            return True
        case p.Aggregate():
            return False
        case tuple():
            return any(speaks_of_columns(each) for each in node)
        case msgspec.Struct():
            names = (name for name in node.__struct_fields__ if name != "type")
            return any(speaks_of_columns(getattr(node, name)) for name in names)
    return False


def function_of(k: Checker, name: str, args: Sequence[p.Expr], span: s.Range, scope: Scope) -> None:
    """A call: a few functions of texts and numbers are known."""
    if scope.row is None or not speaks_of_columns(tuple(args)):
        return
    of_texts = name == "abs" or all(not _is_other(arg.type) for arg in args)
    if name not in _KNOWN or not of_texts:
        k.note(f"column.{name}", span)


def _is_other(kind: p.Type) -> bool:
    return not (is_text(kind) or isinstance(kind, p.UnknownType))


def arithmetic_of(k: Checker, made: p.Binary, span: s.Range, scope: Scope) -> None:
    """Decimals divide into more digits than there are, and floats have no rest."""
    if scope.row is None or not speaks_of_columns(made):
        return
    if made.op == "/" and isinstance(made.type, p.DecimalType):
        k.note("column.division", span)
    elif made.op == "%" and made.type == FLOAT:
        k.note("column.rest", span)


def made_of(k: Checker, made: p.Expr, span: s.Range, scope: Scope) -> None:
    """Texts with holes, lists, records and items: SQL has them otherwise on each database."""
    if scope.row is not None and speaks_of_columns(made):
        k.note("column.made", span)


def json_of(k: Checker, value: p.Expr, field: p.Field, span: s.Range, scope: Scope) -> None:
    """A change of a JSON column to what a column of another type holds."""
    if scope.row is None or field.type != p.ScalarType("json") or not speaks_of_columns(value):
        return
    plain = isinstance(value.type, p.ScalarType | p.DecimalType | p.EnumType | p.RefType)
    if plain and value.type != field.type:
        k.note("column.json", span)
