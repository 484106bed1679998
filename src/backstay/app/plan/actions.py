"""Actions: a body in, statements in one transaction, an answer out."""

from collections.abc import Callable, Sequence

from backstay.app.plan.bodies import Body, Nothing, Values
from backstay.app.plan.evaluate import Evaluator
from backstay.app.plan.reads import Reader
from backstay.app.plan.references import References
from backstay.app.plan.rows import Rows
from backstay.app.plan.statements import compile_block
from backstay.app.plan.tables import table
from backstay.app.plan.unit import Scope, Unit
from backstay.app.values import codec
from backstay.lang.program import (
    Action,
    Create,
    Delete,
    Fail,
    For,
    If,
    Let,
    Program,
    RecordType,
    RowType,
    Start,
    Statement,
    Update,
)

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
    """The row as it is stored when all is done: it is read again if anything of the body could
    have changed it, or if rows beside it are wanted."""
    reader = Reader(program, entity, spec.include)
    rows = table(program, entity)
    settled = not spec.include and not _changes(spec.body, entity)

    def answer(unit: Unit, scope: Scope) -> object:
        held = value(unit, scope)
        if settled and isinstance(held, dict):
            return rows.shape(held)
        key = held.get(rows.key) if isinstance(held, dict) else held
        found = reader.find(unit, key, guarded=False)
        if found is not None:
            return found
        return rows.shape(held) if isinstance(held, dict) else None

    return answer


def _changes(body: Sequence[Statement], entity: str) -> bool:
    """Whether a statement updates or deletes rows of `entity`."""
    for statement in body:
        match statement:
            case Create() | Let() | Fail() | Start():
                continue
            case For(body=inner):
                found = _changes(inner, entity)
            case If(then=then, otherwise=otherwise):
                found = _changes(then, entity) or _changes(otherwise, entity)
            case Update(entity=changed) | Delete(entity=changed):
                found = changed == entity
            case _:
                found = True
        if found:
            return True
    return False
