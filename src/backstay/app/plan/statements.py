"""Statements as closures over (unit, variables): the bodies of actions, steps and jobs."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from backstay.app.errors import BAD_VALUE, DECLINED, NOT_SUPPORTED
from backstay.app.plan.evaluate import Evaluator
from backstay.app.plan.operators import truth
from backstay.app.plan.rows import Rows
from backstay.app.plan.unit import Row, Scope, Unit
from backstay.app.plan.writes import Insert, Writer, nested_of
from backstay.app.values import as_text, codec, describe
from backstay.core.errors import Fault
from backstay.lang.program import (
    Create,
    Delete,
    Emit,
    Fail,
    For,
    If,
    Let,
    ManyType,
    Program,
    Start,
    Statement,
    Update,
)

Block = Callable[[Unit, dict[str, object]], None]


def compile_block(program: Program, body: Sequence[Statement]) -> Block:
    """`block(unit, variables)` runs the statements in the unit's transaction. `let`s and rows made
    with a name are put into `variables`. A Fault means: roll the transaction back."""
    return _Blocks(program).block(body)


class _Blocks:
    def __init__(self, program: Program) -> None:
        self._program = program
        self._evaluator = Evaluator(program, Rows(program, guarded=True))

    def block(self, body: Sequence[Statement]) -> Block:
        parts = [self._statement(statement) for statement in body]

        def run(unit: Unit, scope: dict[str, object]) -> None:
            for part in parts:
                part(unit, scope)

        return run

    def _statement(self, statement: Statement) -> Block:
        match statement:
            case Create():
                return self._create(statement)
            case Update():
                return self._update(statement)
            case Delete(entity=entity, where=where):
                return _discard(Writer(self._program, entity).delete(where))
            case Let(name=name, value=value):
                return _assign(name, self._evaluator.closure(value))
            case For():
                return self._for(statement)
            case If():
                return self._if(statement)
            case Fail():
                return self._fail(statement)
            case Start():
                return self._start(statement)
            case Emit():
                return self._emit(statement)
            case _:
                # `app.unsupported` keeps programs with these from being served.
                what = type(statement).__name__.lower()
                raise Fault(NOT_SUPPORTED, where="a statement", what=what)

    def _create(self, statement: Create) -> Block:
        nested = nested_of(self._program, statement)
        lists = {name for name, _, _ in nested}
        own = [
            (name, self._evaluator.closure(expr))
            for name, expr in statement.values
            if name not in lists
        ]
        insert = Writer(self._program, statement.entity).insert()
        children = [self._children(name, kind, expr) for name, kind, expr in nested]
        key = self._program.entity(statement.entity).key

        def run(unit: Unit, scope: dict[str, object]) -> None:
            values = {name: value(unit, scope) for name, value in own}
            row = insert(unit, values)
            for create in children:
                create(unit, scope, row[key])
            if statement.into:
                scope[statement.into] = row

        return run

    def _children(
        self, name: str, kind: ManyType, expr: object
    ) -> Callable[[Unit, Scope, object], None]:
        insert = self._nested_insert(kind)
        items = self._evaluator.closure(expr)  # type: ignore[arg-type]

        def run(unit: Unit, scope: Scope, parent: object) -> None:
            found = items(unit, scope)
            for item in found if isinstance(found, list | tuple) else ():
                if not isinstance(item, Mapping):
                    reason = f"expected an object, got {describe(item)}"
                    raise Fault(BAD_VALUE, where=name, reason=reason)
                insert(unit, {**item, kind.via: parent})

        return run

    def _nested_insert(self, kind: ManyType) -> Insert:
        """Rows below rows: a record may itself hold the lists of its entity."""
        entity = self._program.entity(kind.entity)
        insert = Writer(self._program, kind.entity).insert()
        below = {
            field.name: field.type for field in entity.fields if isinstance(field.type, ManyType)
        }
        deeper: dict[str, Insert] = {}

        def run(unit: Unit, values: Mapping[str, object]) -> Row:
            row = insert(unit, values)
            for name, many in below.items():
                for item in _listed(values.get(name)):
                    if name not in deeper:
                        deeper[name] = self._nested_insert(many)
                    deeper[name](unit, {**item, many.via: row[entity.key]})
            return row

        return run

    def _update(self, statement: Update) -> Block:
        update = Writer(self._program, statement.entity).update(statement.where, statement.values)
        otherwise = self._fail(statement.otherwise) if statement.otherwise else None

        def run(unit: Unit, scope: dict[str, object]) -> None:
            if update(unit, scope) == 0 and otherwise is not None:
                otherwise(unit, scope)

        return run

    def _for(self, statement: For) -> Block:
        items, body = self._evaluator.closure(statement.items), self.block(statement.body)
        variable = statement.variable

        def run(unit: Unit, scope: dict[str, object]) -> None:
            found = items(unit, scope)
            for item in found if isinstance(found, list | tuple) else ():
                body(unit, {**scope, variable: item})

        return run

    def _if(self, statement: If) -> Block:
        condition = self._evaluator.closure(statement.condition)
        then, otherwise = self.block(statement.then), self.block(statement.otherwise)

        def run(unit: Unit, scope: dict[str, object]) -> None:
            # A copy: names made inside a branch end with it.
            (then if truth(condition(unit, scope)) else otherwise)(unit, dict(scope))

        return run

    def _fail(self, statement: Fail) -> Block:
        message = self._evaluator.closure(statement.message)
        shape = codec(self._program, statement.message.type).shape
        entry = msgspec.structs.replace(DECLINED, status=statement.status)

        def run(unit: Unit, scope: dict[str, object]) -> None:
            raise Fault(entry, says=as_text(shape(message(unit, scope))))

        return run

    def _start(self, statement: Start) -> Block:
        inputs = [(name, self._evaluator.closure(expr)) for name, expr in statement.input]

        def run(unit: Unit, scope: dict[str, object]) -> None:
            values = {name: value(unit, scope) for name, value in inputs}
            execution = unit.start(statement.workflow, values)
            if statement.into:
                scope[statement.into] = {"id": execution}

        return run

    def _emit(self, statement: Emit) -> Block:
        members = [(name, self._evaluator.closure(expr)) for name, expr in statement.values]

        def run(unit: Unit, scope: dict[str, object]) -> None:
            unit.emit(statement.event, {name: value(unit, scope) for name, value in members})

        return run


def _discard(change: Callable[[Unit, Scope], int]) -> Block:
    def run(unit: Unit, scope: dict[str, object]) -> None:
        change(unit, scope)

    return run


def _assign(name: str, value: Callable[[Unit, Scope], object]) -> Block:
    def run(unit: Unit, scope: dict[str, object]) -> None:
        scope[name] = value(unit, scope)

    return run


def _listed(value: object) -> list[Mapping[str, object]]:
    found = value if isinstance(value, list | tuple) else []
    return [item for item in found if isinstance(item, Mapping)]
