"""Actions: a body in, statements in one transaction, an answer out."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from backstay.app.errors import UNFIT
from backstay.app.plan.acts import Deed, Offer, deed
from backstay.app.plan.bodies import Body, Nothing, Values
from backstay.app.plan.chosen import cut
from backstay.app.plan.demands import Demands
from backstay.app.plan.evaluate import Evaluator
from backstay.app.plan.promises import promised
from backstay.app.plan.reads import Reader
from backstay.app.plan.references import References
from backstay.app.plan.routines import calls_one_of, writing
from backstay.app.plan.rows import Rows
from backstay.app.plan.statements import compile_block
from backstay.app.plan.tables import table
from backstay.app.plan.unit import Closure, Scope, Unit
from backstay.app.values import codec
from backstay.core.errors import Fault
from backstay.lang.program import (
    Act,
    Action,
    Ask,
    Assign,
    Create,
    Delete,
    Fail,
    Field,
    For,
    If,
    Let,
    Program,
    RecordType,
    RefType,
    Restore,
    RowType,
    Start,
    Statement,
    Update,
)

Answer = Callable[[Unit, Scope], object]


class Success(msgspec.Struct, frozen=True):
    """`on_success` of an endpoint, and the names that its path and its query bring."""

    act: Act
    names: frozenset[str]


class ActionPlan:
    """One `do { … }`, made once."""

    def __init__(
        self,
        program: Program,
        spec: Action,
        body: RecordType | None,
        success: Success | None = None,
    ) -> None:
        self.body: Body | Nothing = Nothing() if body is None else Body(program, body)
        self._references = None if body is None else References(program, body)
        self._run = compile_block(program, spec.body)
        self._answer = _answer(program, spec)
        self._after = _after(program, spec, body, success) if success else None

    def run(
        self, unit: Unit, body: Values, scope: dict[str, object], demands: Demands | None = None
    ) -> object:
        """The answer as JSON values, None for no content. A Fault rolls everything back."""
        self.body.fill(unit, body)
        if self._references is not None:
            self._references.check(unit, body)
        scope["body"] = body
        if demands is not None:
            demands.judge(unit, scope)
        self._run(unit, scope)
        if self._after is not None:
            self._after(unit, scope)
        return self._answer(unit, scope)


def _after(program: Program, spec: Action, body: RecordType | None, success: Success) -> Deed:
    """`on_success: emit(EVENT)`: in the transaction, with values named like the answer's members,
    the body's or the path's."""
    brought = {field.name for field in body.fields} if body else set()
    made = {name for each in spec.body if (name := _name_of(each))}
    offer = _offer(program, spec, success.names | brought | made)
    done = deed(program, success.act, offer, "on_success of an endpoint")
    if done is None:
        problem = f"'{success.act.name}' is not done in the transaction of the endpoint"
        instead = "emit an event, or start a workflow that does it"
        raise Fault(UNFIT, where="on_success of an endpoint", problem=problem, instead=instead)
    return done


def _name_of(statement: Statement) -> str:
    match statement:
        case Let(name=name):
            return name
        case Create(into=name) | Start(into=name) | Ask(into=name):
            return name
    return ""


def _offer(program: Program, spec: Action, names: frozenset[str]) -> Offer:
    given = spec.returns
    value = None
    members: frozenset[str] = frozenset()
    row = given.type.entity if given is not None and isinstance(given.type, RowType) else ""
    if given is not None:
        value = Evaluator(program, Rows(program, guarded=True)).closure(given)
        if row:
            members = frozenset(column.name for column in table(program, row).columns)
        elif isinstance(given.type, RecordType):
            members = frozenset(field.name for field in given.type.fields)

    def offer(field: Field) -> Closure | None:
        name = field.name
        if value is not None and isinstance(field.type, RefType) and field.type.entity == row:
            return value
        answer = value
        if answer is not None and name in members:
            return lambda unit, scope: _member(answer(unit, scope), name)
        return (lambda _unit, scope: _named(scope, name)) if name in names else None

    return offer


def _member(held: object, name: str) -> object:
    return held.get(name) if isinstance(held, Mapping) else None


def _named(scope: Scope, name: str) -> object:
    """A value that the request brought, or that the body made."""
    for place in (scope, scope["body"], scope["path"], scope["query"]):
        if isinstance(place, Mapping) and name in place:
            return place[name]
    return None


def _answer(program: Program, spec: Action) -> Answer:
    if spec.returns is None:
        return lambda _unit, _scope: None
    value = Evaluator(program, Rows(program, guarded=True), writes=True).closure(spec.returns)
    if isinstance(spec.returns.type, RowType):
        found = _row(program, spec.returns.type.entity, value, spec)
        if not isinstance(spec.promise, RecordType):
            return found
        names = frozenset(field.name for field in spec.promise.fields)
        return lambda unit, scope: _cut(found(unit, scope), names)
    if spec.promise is not None:
        return promised(program, spec.promise, value)
    shape = codec(program, spec.returns.type).shape
    return lambda unit, scope: shape(value(unit, scope))


def _cut(row: object, names: frozenset[str]) -> object:
    return cut(row, names) if isinstance(row, dict) else row


def _row(program: Program, entity: str, value: Answer, spec: Action) -> Answer:
    """The row as it is stored when all is done: it is read again if anything of the body could
    have changed it, or if rows beside it are wanted."""
    reader = Reader(program, entity, spec.include)
    rows = table(program, entity)
    writers = writing(program)
    settled = not spec.include and not _changes(spec.body, entity, writers)

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


def _changes(body: Sequence[Statement], entity: str, writers: frozenset[str]) -> bool:
    """Whether a statement updates or deletes rows of `entity`, or a function may."""
    if calls_one_of(tuple(body), writers):
        return True
    for statement in body:
        match statement:
            case Create() | Let() | Ask() | Assign() | Fail() | Start():
                continue
            case For(body=inner):
                found = _changes(inner, entity, writers)
            case If(then=then, otherwise=otherwise):
                found = _changes((*then, *otherwise), entity, writers)
            case Update(entity=changed) | Delete(entity=changed) | Restore(entity=changed):
                found = changed == entity
            case _:
                found = True
        if found:
            return True
    return False
