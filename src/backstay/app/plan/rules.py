"""Who may do what to which row (decision 8), as a piece of WHERE.

A rule that is written always holds. Without one the entity is open while the program configures no
auth, and belongs to the admin scope once it does. Rules are evaluated without rules: `order.owner`
inside a rule finds the order whoever asks.
"""

from typing import Literal

from backstay.app.errors import FORBIDDEN
from backstay.app.plan.evaluate import Evaluator, Loads
from backstay.app.plan.scales import Sql
from backstay.app.plan.speaking import always
from backstay.app.plan.sql import SqlCompiler
from backstay.app.plan.tables import Table
from backstay.app.plan.unit import Unit
from backstay.core.errors import Fault
from backstay.lang.program import Call, Constant, Expr, Program, ScalarType

Verb = Literal["read", "create", "update", "delete"]

_ADMIN_ONLY = Call("user.has", (Constant("admin", ScalarType("string")),), ScalarType("bool"))


def rule_of(program: Program, rows: Table, verb: Verb) -> Expr | None:
    """The rule in force, None when everybody may."""
    rule: Expr | None = getattr(rows.entity.access, verb)
    if rule is None:
        return None if program.auth is None else _ADMIN_ONLY
    return None if always(rule) else rule


def rule(program: Program, loads: Loads, rows: Table, verb: Verb) -> Sql | None:
    """The rule as a condition on `rows`, None when everybody may."""
    expr = rule_of(program, rows, verb)
    if expr is None:
        return None
    return SqlCompiler(Evaluator(program, loads), rows, rule=True).condition(expr)


def forbidden(unit: Unit, rows: Table, verb: Verb) -> Fault:
    """The answer to somebody whom the rule does not allow."""
    who = unit.principal
    shown = f"{who.kind} {who.sub}".strip()
    return Fault(FORBIDDEN, verb=verb, entity=rows.entity.name, who=shown)
