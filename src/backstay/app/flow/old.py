"""The oldest workflows say their values in quotes: `input { to: "workflow.input.email" }` and
`if "steps.check.output.ok == true"`. A path is one of these roots with names behind it; whatever
else stands in quotes is itself.
"""

import re
from collections.abc import Callable, Mapping

import msgspec

from backstay.app.errors import UNFIT
from backstay.app.plan import operators
from backstay.app.plan.unit import Closure, Scope, Unit
from backstay.core.errors import Fault
from backstay.lang.program import Constant, Expr

_PATH = re.compile(r"(?:workflow\.input|steps\.\w+\.output|event)(?:\.\w+)*")
_TEST = re.compile(rf"({_PATH.pattern})\s*(?:(==|!=|<=|>=|<|>)\s*(.+))?")


def path(expr: Expr) -> Closure | None:
    """The value that a path in quotes speaks of; None for anything else."""
    if not isinstance(expr, Constant) or not isinstance(expr.value, str):
        return None
    return _closure(expr.value) if _PATH.fullmatch(expr.value) else None


def condition(text: str, where: str) -> Closure:
    """A path, or a path compared with a literal. Raises APP005."""
    found = _TEST.fullmatch(text.strip())
    if found is None:
        problem = f'if "{text}" is no path that is compared with a value'
        raise Fault(UNFIT, where=where, problem=problem, instead="write when: steps.NAME.FIELD …")
    value = _closure(found[1])
    if found[2] is None:
        return value
    compare, literal = _comparison(found[2]), _literal(found[3].strip(), where)
    return lambda unit, scope: compare(value(unit, scope), literal)


def _closure(text: str) -> Closure:
    names = text.split(".")
    if names[0] == "workflow":
        names = names[2:]
    elif names[0] == "steps":
        names = [*names[:2], *names[3:]]

    def closure(_unit: Unit, scope: Scope) -> object:
        value: object = scope
        for name in names:
            value = value.get(name) if isinstance(value, Mapping) else None
        return value

    return closure


def _comparison(op: str) -> Callable[[object, object], object]:
    if op == "==":
        return operators.equal
    if op == "!=":
        return lambda left, right: not operators.equal(left, right)
    return operators.ordering(op)


def _literal(text: str, where: str) -> object:
    if len(text) > 1 and text[0] == text[-1] == "'":
        return text[1:-1]
    try:
        value: object = msgspec.json.decode(text)
    except msgspec.DecodeError as bad:
        problem = f"{text} is no value to compare with"
        instead = "compare with a number, true, false, null or a 'text'"
        raise Fault(UNFIT, where=where, problem=problem, instead=instead) from bad
    return value
