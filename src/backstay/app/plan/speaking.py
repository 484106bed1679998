"""What an expression speaks of: the row of a condition, or only of what is known before."""

import msgspec

from backstay.lang.program import Aggregate, Column, Constant, Expr, Get, Name


def speaks_of_columns(expr: Expr) -> bool:
    """Whether the row itself is needed. An aggregate speaks of its own rows, not of this one."""
    return _speaks(expr)


def _speaks(node: object) -> bool:
    match node:
        case Column():
            return True
        case Aggregate():
            return False
        case tuple():
            return any(_speaks(each) for each in node)
        case msgspec.Struct():
            return any(_speaks(getattr(node, n)) for n in node.__struct_fields__ if n != "type")
        case _:
            return False


def of_asker(expr: Expr) -> bool:
    """`user.id` and its like: what the asker is, or has for a claim."""
    return isinstance(expr, Get) and isinstance(expr.of, Name) and expr.of.name == "user"


def always(expr: Expr | None) -> bool:
    """Whether a rule is the constant `true`."""
    return isinstance(expr, Constant) and expr.value is True
