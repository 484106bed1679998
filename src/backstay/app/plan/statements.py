"""Statements as closures over (unit, variables): the bodies of actions, steps and jobs."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from backstay.app.errors import BAD_VALUE, DECLINED, NOT_SUPPORTED, UNFIT
from backstay.app.plan.acts import deed, names_of
from backstay.app.plan.evaluate import Evaluator, Routine
from backstay.app.plan.operators import truth
from backstay.app.plan.queries import Query
from backstay.app.plan.rows import Rows
from backstay.app.plan.tags import mark
from backstay.app.plan.unit import Closure, Row, Scope, Unit
from backstay.app.plan.writes import Insert, Writer, nested_of
from backstay.app.values import as_text, codec, describe
from backstay.core.errors import Fault
from backstay.lang.library.operators import holds
from backstay.lang.program import (
    Act,
    Ask,
    Assign,
    Create,
    Delete,
    Emit,
    Expr,
    Fail,
    For,
    Function,
    If,
    Let,
    ManyType,
    Program,
    Restore,
    Return,
    Start,
    Statement,
    Update,
)

Block = Callable[[Unit, dict[str, object]], None]
_OUTER = ""
"""Under this name the variables of a block hold those of the block around it. An inner block works
on a copy, so that its own names end with it; an assignment goes out to where the name was made."""


def compile_block(program: Program, body: Sequence[Statement]) -> Block:
    """`block(unit, variables)` runs the statements in the unit's transaction. `let`s and rows made
    with a name are put into `variables`. A Fault means: roll the transaction back."""
    evaluator = Evaluator(program, Rows(program, guarded=True), writes=True)
    return _Blocks(evaluator).block(body)


def compile_function(evaluator: Evaluator, function: Function) -> Routine:
    """The body of a function of the program; its value is that of the `return` it comes to."""
    names = [param.name for param in function.params]
    body = _Blocks(evaluator, any_value=True).block(function.body, *names)

    def run(unit: Unit, args: Sequence[object]) -> object:
        try:
            body(unit, dict(zip(names, args, strict=True)))
        except _Returned as returned:
            return returned.value
        return None

    return run


class _Returned(Exception):  # noqa: N818 - a jump out of a function
    def __init__(self, value: object) -> None:
        self.value = value


class _Blocks:
    """`any_value`: a condition may be of any type, as in scripts."""

    def __init__(self, evaluator: Evaluator, *, any_value: bool = False) -> None:
        self._program = evaluator.program
        self._evaluator = evaluator
        self._any_value = any_value
        self._levels: list[set[str]] = []

    def block(self, body: Sequence[Statement], *names: str) -> Block:
        """The statements; `names` are there before the first of them."""
        self._levels.append(set(names))
        parts = [self._statement(statement) for statement in body]
        self._levels.pop()

        def run(unit: Unit, scope: dict[str, object]) -> None:
            for part in parts:
                part(unit, scope)

        return run

    def _statement(self, statement: Statement) -> Block:  # noqa: C901 - one arm for each kind
        match statement:
            case Create(into=into):
                return self._making(into, self._create(statement))
            case Update():
                return self._update(statement)
            case Delete(entity=entity, where=where):
                return _discard(Writer(self._program, entity).delete(where))
            case Ask(into=into):
                return self._making(into, self._ask(statement))
            case Restore(entity=entity, where=where):
                return _discard(Writer(self._program, entity).restore(where))
            case Let(name=name, value=value):
                return self._making(name, self._let(name, value))
            case Assign():
                return self._assign(statement)
            case For():
                return self._for(statement)
            case If():
                return self._if(statement)
            case Fail():
                return self._fail(statement)
            case Start(into=into):
                return self._making(into, self._start(statement))
            case Emit():
                return self._emit(statement)
            case _:
                return self._other(statement)

    def _other(self, statement: Statement) -> Block:
        match statement:
            case Return(value=value):
                return self._return(value)
            case Act():
                return self._act(statement)
            case _:
                # `app.unsupported` keeps programs with these from being served.
                what = type(statement).__name__.lower()
                raise Fault(NOT_SUPPORTED, where="a statement", what=what)

    # --- names ---

    def _making(self, name: str, made: Block) -> Block:
        """From here on the block has the name."""
        self._levels[-1].add(name)
        return made

    def _kept(self, expr: Expr) -> Closure:
        """A value for a variable: moments carry what they are, for the type of a variable that is
        assigned to may not be known any more."""
        value, marked = self._evaluator.closure(expr), mark(expr.type)
        return value if marked is None else lambda unit, scope: marked(value(unit, scope))

    def _let(self, name: str, expr: Expr) -> Block:
        value = self._kept(expr)
        if not name:
            return lambda unit, scope: _done(value(unit, scope))

        def run(unit: Unit, scope: dict[str, object]) -> None:
            scope[name] = value(unit, scope)

        return run

    def _assign(self, statement: Assign) -> Block:
        name, value = statement.name, self._kept(statement.value)
        away = [name in level for level in reversed(self._levels)]
        # What no block has made came from outside of all of them.
        out = away.index(True) if True in away else len(away) - 1

        def run(unit: Unit, scope: dict[str, object]) -> None:
            made, at = value(unit, scope), scope
            at[name] = made
            for _ in range(out):
                at = at[_OUTER]  # type: ignore[assignment]
                at[name] = made

        return run

    # --- rows ---

    def _ask(self, statement: Ask) -> Block:
        query, into = Query(self._evaluator, statement), statement.into

        def run(unit: Unit, scope: dict[str, object]) -> None:
            scope[into] = query.run(unit, scope)

        return run

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
        variable = statement.variable
        items = self._evaluator.closure(statement.items)
        body = self.block(statement.body, variable)
        statements = max(1, len(statement.body))

        def run(unit: Unit, scope: dict[str, object]) -> None:
            found = items(unit, scope)
            for item in found if isinstance(found, list | tuple) else ():
                unit.loop(statements)
                body(unit, {**scope, variable: item, _OUTER: scope})

        return run

    def _if(self, statement: If) -> Block:
        condition = self._asked(statement.condition)
        then, otherwise = self.block(statement.then), self.block(statement.otherwise)

        def run(unit: Unit, scope: dict[str, object]) -> None:
            (then if condition(unit, scope) else otherwise)(unit, {**scope, _OUTER: scope})

        return run

    def _asked(self, expr: Expr) -> Callable[[Unit, Scope], bool]:
        """What `if` decides by: in a function any value, and the moment 0 is one that holds."""
        value = self._evaluator.closure(expr)
        if self._any_value:
            given = self._kept(expr)
            return lambda unit, scope: holds(given(unit, scope))  # type: ignore[arg-type]
        return lambda unit, scope: truth(value(unit, scope))

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

    def _return(self, expr: Expr) -> Block:
        value = self._kept(expr)

        def run(unit: Unit, scope: dict[str, object]) -> None:
            raise _Returned(value(unit, scope))

        return run

    def _act(self, statement: Act) -> Block:
        """An action by its name: `log_info("…")`, `emit(EVENT)`, `start(WORKFLOW)`. Raises APP005
        for what is not done in a transaction."""
        names = frozenset().union(*self._levels)
        done = None
        if statement.where is None and not statement.into:
            done = deed(self._program, statement, names_of(names), "do")
        if done is None:
            problem = f"'{statement.name}' is not done in the transaction of a do block"
            instead = "use create, update, delete and query, or make it a step of a workflow"
            raise Fault(UNFIT, where="do", problem=problem, instead=instead)
        return done


def _discard(change: Callable[[Unit, Scope], int]) -> Block:
    def run(unit: Unit, scope: dict[str, object]) -> None:
        change(unit, scope)

    return run


def _done(_value: object) -> None:
    """A call as a statement: nobody asks for its value."""


def _listed(value: object) -> list[Mapping[str, object]]:
    found = value if isinstance(value, list | tuple) else []
    return [item for item in found if isinstance(item, Mapping)]
