"""`validate { … }`: what a request has to keep besides its types, every breach at once."""

from collections.abc import Callable, Sequence

from backstay.app.errors import INVALID
from backstay.app.plan.checks import Mistake, fault_of
from backstay.app.plan.evaluate import Evaluator
from backstay.app.plan.operators import truth
from backstay.app.plan.rows import Rows
from backstay.app.plan.unit import Closure, Scope, Unit
from backstay.app.values import as_text
from backstay.lang.program import Aggregate, Binary, Call, Check, Expr, Get, Name, Program, Unary

_BROUGHT = ("body", "path", "query", "headers")
_Demand = tuple[str, Closure, Callable[[Unit, Scope], str]]


class Demands:
    """The checks of one endpoint, made once."""

    def __init__(self, program: Program, checks: Sequence[Check]) -> None:
        evaluator = Evaluator(program, Rows(program, guarded=True))
        self._demands: list[_Demand] = [_demand(evaluator, each) for each in checks]

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return bool(self._demands)

    def judge(self, unit: Unit, scope: Scope) -> None:
        """Raises APP011 with every one that does not hold."""
        broken = [
            Mistake(about, says(unit, scope))
            for about, holds, says in self._demands
            if not truth(holds(unit, scope))
        ]
        if broken:
            raise fault_of(INVALID, "the request", broken)


def _demand(evaluator: Evaluator, check: Check) -> _Demand:
    about = _spoken_of(check.condition)
    if check.message is None:
        return about, evaluator.closure(check.condition), lambda _unit, _scope: _UNSAID
    message = evaluator.closure(check.message)
    return (
        about,
        evaluator.closure(check.condition),
        lambda unit, scope: as_text(message(unit, scope)),
    )


_UNSAID = "breaks a rule of this endpoint"


def _spoken_of(expr: Expr) -> str:
    """The first thing the request brought that a condition looks at, as mistakes name it: a member
    of the body by its own name."""
    match expr:
        case Get(of=Name(name=name), field=field) if name in _BROUGHT:
            return field
        case Get(of=inner) | Unary(operand=inner):
            return _spoken_of(inner)
        case Binary(left=left, right=right):
            return _spoken_of(left) or _spoken_of(right)
        case Aggregate(where=where) if where is not None:
            return _spoken_of(where)
        case Call(args=args):
            return next(filter(None, map(_spoken_of, args)), "")
        case _:
            return ""
