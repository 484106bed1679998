"""Actions that are said by their name and done inside the transaction: `emit(EVENT)`,
`start(WORKFLOW)`, a workflow's own name, `log_info("…")`.

An event's payload and a workflow's input are filled by name: first from the options written behind
the action, then from whatever the place of the action has to offer (`Offer`).
"""

from collections.abc import Callable, Mapping

import structlog

from backstay.app.errors import UNFIT
from backstay.app.plan.evaluate import Evaluator
from backstay.app.plan.rows import Rows
from backstay.app.plan.unit import Closure, Scope, Unit
from backstay.app.values import as_text, codec
from backstay.core.errors import Fault
from backstay.lang.program import Act, Constant, Event, Field, Program, Workflow

Deed = Callable[[Unit, Scope], None]
Offer = Callable[[Field], Closure | None]
"""Where the place of an action takes a field's value from; None when it has nothing to give."""

_log = structlog.get_logger("app.program")
_LEVELS = ("debug", "info", "warning", "error")


def names_of(variables: frozenset[str]) -> Offer:
    """Offers the variables of these names."""

    def offer(field: Field) -> Closure | None:
        name = field.name
        return (lambda _unit, scope: scope.get(name)) if name in variables else None

    return offer


def deed(program: Program, act: Act, offer: Offer, where: str) -> Deed | None:
    """What the action does in the transaction; None when it is not done there.

    Raises APP005 for a payload or an input that cannot be filled.
    """
    if act.name.startswith("log_"):
        return _logged(program, act)
    if act.name == "emit":
        return _emitted(program, act, offer, where)
    if act.name == "start":
        return _started(program, act, _named(act, where), offer, where)
    if any(flow.name == act.name for flow in program.workflows):
        return _started(program, act, act.name, offer, where)
    return None


def event_of(program: Program, name: str) -> Event | None:
    """The declared event; `user_created` and `user.created` are one."""
    wanted = (name, name.replace(".", "_"))
    return next((each for each in program.events if each.name in wanted), None)


def _logged(program: Program, act: Act) -> Deed:
    level = act.name.removeprefix("log_")
    if level not in _LEVELS:
        problem = f"there is no log level {level}"
        raise Fault(UNFIT, where=act.name, problem=problem, instead=f"use {', '.join(_LEVELS)}")
    say = getattr(_log, level)
    evaluator = Evaluator(program, Rows(program, guarded=True))
    parts = [(evaluator.closure(arg), codec(program, arg.type).shape) for arg in act.args]

    def run(unit: Unit, scope: Scope) -> None:
        said = " ".join(as_text(shape(value(unit, scope))) for value, shape in parts)
        say("the program says", says=said)

    return run


def _emitted(program: Program, act: Act, offer: Offer, where: str) -> Deed:
    name = _named(act, where)
    event = event_of(program, name)
    if event is None:
        raise _undeclared(where, "event", name)
    fill = _filled(program, act, event.payload, offer, f"{where}: emit({event.name})")
    return lambda unit, scope: _done(unit.emit(event.name, fill(unit, scope)))


def _started(program: Program, act: Act, name: str, offer: Offer, where: str) -> Deed:
    flow = next((each for each in program.workflows if each.name == name), None)
    if flow is None:
        raise _undeclared(where, "workflow", name)
    fill = _filled(program, act, wanted(program, flow), offer, f"{where}: start({name})")
    return lambda unit, scope: _done(unit.start(name, fill(unit, scope)))


def wanted(program: Program, flow: Workflow) -> tuple[Field, ...]:
    """What a workflow takes: its inputs, then the payload of the event that starts it."""
    event = flow.trigger and event_of(program, flow.trigger.event)
    inputs = {field.name for field in flow.input}
    payload = event.payload if event else ()
    return (*flow.input, *(field for field in payload if field.name not in inputs))


def _filled(
    program: Program, act: Act, fields: tuple[Field, ...], offer: Offer, where: str
) -> Callable[[Unit, Scope], Mapping[str, object]]:
    evaluator = Evaluator(program, Rows(program, guarded=True))
    options = {name: evaluator.closure(value) for name, value in act.options}
    members: list[tuple[str, Closure]] = []
    for field in fields:
        value = options.pop(field.name, None) or offer(field)
        if value is not None:
            members.append((field.name, value))
        elif field.required and field.default is None:
            problem = f"'{field.name}' has no value: nothing at this place has that name"
            instead = f"give it: {act.name}(…) {{ {field.name}: … }}"
            raise Fault(UNFIT, where=where, problem=problem, instead=instead)
    for name in options:
        problem, known = f"there is no field '{name}'", ", ".join(each.name for each in fields)
        raise Fault(UNFIT, where=where, problem=problem, instead=f"it has {known or 'none'}")
    return lambda unit, scope: {name: value(unit, scope) for name, value in members}


def _named(act: Act, where: str) -> str:
    first = act.args[0] if act.args else None
    if not isinstance(first, Constant) or not isinstance(first.value, str):
        problem = f"{act.name} takes the name of what it is for"
        raise Fault(UNFIT, where=where, problem=problem, instead=f"write {act.name}(NAME)")
    return first.value


def _undeclared(where: str, kind: str, name: str) -> Fault:
    problem = f"the {kind} {name} is not declared"
    return Fault(UNFIT, where=where, problem=problem, instead=f"declare {kind} {name}")


def _done(_made: str) -> None:
    """Ids are in the history; the action has no use for them."""
