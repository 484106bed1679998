"""Actions: a body in, statements in one transaction, an answer out."""

from collections.abc import Callable

from backstay.app.plan.bodies import Body, Nothing, Values
from backstay.app.plan.evaluate import Evaluator
from backstay.app.plan.reads import Reader
from backstay.app.plan.references import References
from backstay.app.plan.rows import Rows
from backstay.app.plan.statements import compile_block
from backstay.app.plan.tables import table
from backstay.app.plan.unit import Scope, Unit
from backstay.app.values import codec
from backstay.lang.program import Action, Program, RecordType, RowType

Answer = Callable[[Unit, Scope], object]


class ActionPlan:
    """One `do { … }`, made once."""

    def __init__(self, program: Program, spec: Action, body: RecordType | None) -> None:
        self.body: Body | Nothing = Nothing() if body is None else Body(program, body)
        self._references = None if body is None else References(program, body)
        self._run = compile_block(program, spec.body)
        self._answer = _answer(program, spec)

    def run(self, unit: Unit, body: Values, scope: dict[str, object]) -> object:
        """The answer as JSON values, None for no content. A Fault rolls everything back."""
        self.body.fill(unit, body)
        if self._references is not None:
            self._references.check(unit, body)
        scope["body"] = body
        self._run(unit, scope)
        return self._answer(unit, scope)


def _answer(program: Program, spec: Action) -> Answer:
    if spec.returns is None:
        return lambda _unit, _scope: None
    value = Evaluator(program, Rows(program, guarded=True)).closure(spec.returns)
    if isinstance(spec.returns.type, RowType):
        return _row(program, spec.returns.type.entity, value, spec)
    shape = codec(program, spec.returns.type).shape
    return lambda unit, scope: shape(value(unit, scope))


def _row(program: Program, entity: str, value: Answer, spec: Action) -> Answer:
    """A row is read again, so that the answer is what is stored, whatever came after its create."""
    reader = Reader(program, entity, spec.include)
    rows = table(program, entity)

    def answer(unit: Unit, scope: Scope) -> object:
        held = value(unit, scope)
        key = held.get(rows.key) if isinstance(held, dict) else held
        found = reader.find(unit, key, guarded=False)
        if found is not None:
            return found
        return rows.shape(held) if isinstance(held, dict) else None

    return answer
