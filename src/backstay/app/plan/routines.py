"""Functions of the program: compiled with the first call of them, once for each evaluator.

A function that creates, changes, starts or emits something may be called in `do` alone: conditions,
rules and reads have nothing to write in, and the program is refused that would do it there.
"""

from collections.abc import Callable, Iterator

import msgspec
import structlog

from backstay.app.errors import BAD_VALUE, UNFIT
from backstay.app.plan.evaluate import Evaluator, Routine
from backstay.app.plan.tags import tag
from backstay.app.plan.unit import Closure, Scope, Unit
from backstay.app.values import as_text, codec
from backstay.core.errors import Fault
from backstay.lang.program import (
    Act,
    Call,
    Create,
    Delete,
    Emit,
    Expr,
    Field,
    Function,
    Program,
    Restore,
    Start,
    Type,
    UnknownType,
    Update,
)

_WRITES = (Act, Create, Delete, Emit, Restore, Start, Update)
_log = structlog.get_logger("app.program")


def called(evaluator: Evaluator, expr: Call) -> Closure:
    """A call of a function of the program, or of `print`. Raises APP005 for a function that
    writes where nothing can be written."""
    if expr.name == "print":
        return _printed(evaluator, expr)
    program = evaluator.program
    function = next(each for each in program.functions if each.name == expr.name)
    if not evaluator.writes and function.name in writing(program):
        problem = f"the function {function.name} changes rows, and is called where nothing is"
        instead = "call it in do { … }, or let it only compute"
        raise Fault(UNFIT, where=program.name, problem=problem, instead=instead)
    args = [
        _argument(evaluator, param, arg)
        for param, arg in zip(function.params, expr.args, strict=True)
    ]
    body = _routine(evaluator, function)
    return lambda unit, scope: body(unit, [arg(unit, scope) for arg in args])


def writing(program: Program) -> frozenset[str]:
    """The functions that change something, by themselves or through others."""
    calls: dict[str, set[str]] = {}
    found: set[str] = set()
    for function in program.functions:
        parts = list(_parts(function.body))
        calls[function.name] = {part.name for part in parts if isinstance(part, Call)}
        if any(isinstance(part, _WRITES) for part in parts):
            found.add(function.name)
    before = -1
    while before != len(found):
        before = len(found)
        found |= {name for name, named in calls.items() if named & found}
    return frozenset(found)


def calls_one_of(node: object, names: frozenset[str]) -> bool:
    """Whether a statement or an expression calls one of these functions."""
    return any(isinstance(part, Call) and part.name in names for part in _parts(node))


def _parts(node: object) -> Iterator[object]:
    """A node of the program and all that is below it."""
    if isinstance(node, tuple):
        for each in node:
            yield from _parts(each)
    elif isinstance(node, msgspec.Struct):
        yield node
        for name in node.__struct_fields__:
            yield from _parts(getattr(node, name))


def _routine(evaluator: Evaluator, function: Function) -> Routine:
    """Compiled once; a function that calls itself finds the one that is being made."""
    known = evaluator.routines.get(function.name)
    if known is not None:
        return known
    from backstay.app.plan.statements import compile_function

    made: list[Routine] = []
    name = function.name

    def run(unit: Unit, args: "list[object] | tuple[object, ...]") -> object:
        unit.enter(name)
        try:
            return made[0](unit, args)
        except RecursionError:
            raise unit.too_deep(name) from None
        finally:
            unit.leave()

    evaluator.routines[name] = run  # type: ignore[assignment]
    made.append(compile_function(evaluator, function))
    return run  # type: ignore[return-value]


def _argument(evaluator: Evaluator, param: Field, arg: Expr) -> Closure:
    """The value as the parameter wants it: moments are marked where it has no type, and what has no
    type is held against the parameter's."""
    value = evaluator.closure(arg)
    if isinstance(param.type, UnknownType):
        marked = tag(evaluator.program, arg.type)
        return value if marked is None else lambda unit, scope: marked(value(unit, scope))
    if isinstance(arg.type, UnknownType):
        fits = fitting(evaluator.program, param.type, param.name)
        return lambda unit, scope: fits(value(unit, scope))
    return value


def fitting(program: Program, kind: Type, what: str) -> Callable[[object], object]:
    """Holds a value of which nothing is known against a type. Raises APP021."""
    fit = codec(program, kind).fit

    def fits(value: object) -> object:
        try:
            return fit(value)
        except ValueError as bad:
            raise Fault(BAD_VALUE, where=what, reason=str(bad)) from None

    return fits


def _printed(evaluator: Evaluator, expr: Call) -> Closure:
    """What a script prints goes into the log of a server."""
    parts = [
        (evaluator.closure(arg), codec(evaluator.program, arg.type).shape) for arg in expr.args
    ]

    def closure(unit: Unit, scope: Scope) -> object:
        said = " ".join(as_text(shape(value(unit, scope))) for value, shape in parts)
        _log.info("the program says", says=said)
        return None

    return closure
