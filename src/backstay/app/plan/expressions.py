"""The front door: an expression of the checked program as a closure."""

from backstay.app.plan.evaluate import Evaluator
from backstay.app.plan.rows import Rows
from backstay.app.plan.unit import Closure
from backstay.lang.program import Expr, Program


def compile_expr(program: Program, expr: Expr) -> Closure:
    """`closure(unit, scope)` gives the Python value (values.py). Rows that the expression goes
    through are those the unit's principal may read. Raises APP004 for what cannot be compiled."""
    return Evaluator(program, Rows(program, guarded=True)).closure(expr)
