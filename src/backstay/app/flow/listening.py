"""Who listens to which event, said by the program: compiled once, with what could never be heard
refused at the load."""

from collections.abc import Callable, Iterator, Mapping

import msgspec

from backstay.app.errors import UNFIT
from backstay.app.flow.plans import EventPlan, WorkflowPlan
from backstay.app.flow.work import Payload, compile_named
from backstay.app.plan.acts import event_of, names_of
from backstay.app.plan.bodies import Body
from backstay.app.plan.expressions import compile_expr
from backstay.app.values import codec
from backstay.core.errors import Fault
from backstay.lang.program import Act, Constant, Event, Field, Handler, Program, RecordType


def compile_events(program: Program, flows: Mapping[str, WorkflowPlan]) -> dict[str, EventPlan]:
    """All events by name, with their targets. Raises APP005 for a target that the payload cannot
    fill, for a place to publish to that Backstay does not know, and for a circle of emits."""
    found = {event.name: _event(program, event, flows) for event in program.events}
    for flow in flows.values():
        trigger = flow.trigger
        if trigger is not None and trigger.kind == "event" and flow.input.free:
            before = found.get(trigger.event) or _free(trigger.event)
            started = (*before.workflows, flow.name)
            found[trigger.event] = msgspec.structs.replace(before, workflows=started)
    _no_circle(found)
    return found


def _event(program: Program, event: Event, flows: Mapping[str, WorkflowPlan]) -> EventPlan:
    heard = [each for each in program.handlers if _same(program, each.event, event)]
    workflows = [flow.name for flow in flows.values() if _starts(program, flow, event)]
    workflows += [each.target for each in heard if each.action == "workflow"]
    for name in workflows:
        _fits(event.payload, flows[name].input.fields, event.name, f"workflow {name}")
    emits = [_emitted(program, event, each.target) for each in heard if each.action == "emit"]
    shape, scope = _codecs(program, event)
    tasks = _tasks(program, event)
    return EventPlan(
        name=event.name,
        shape=shape,
        body=Body(program, RecordType(event.payload)),
        workflows=tuple(dict.fromkeys(workflows)),
        emits=tuple(dict.fromkeys(emits)),
        outside=tuple(dict.fromkeys((*_outside(program, event, heard), *tasks))),
        tasks=tasks,
        when=compile_expr(program, event.when) if event.when is not None else None,
        scope=scope,
    )


def _codecs(
    program: Program, event: Event
) -> tuple[Callable[[Mapping[str, object]], str], Callable[[str], dict[str, object]]]:
    codecs = {field.name: codec(program, field.type) for field in event.payload}

    def shape(values: Mapping[str, object]) -> str:
        shaped = {name: codecs[name].shape(value) for name, value in values.items()}
        return msgspec.json.encode(shaped).decode()

    def scope(text: str) -> dict[str, object]:
        stored: dict[str, object] = msgspec.json.decode(text)
        values = {name: kind.parse(stored.get(name)) for name, kind in codecs.items()}
        return {**values, "event": dict(values)}

    return shape, scope


def _free(name: str) -> EventPlan:
    """An event of the world outside: its payload is handed on as it came."""

    def shape(values: Mapping[str, object]) -> str:
        return msgspec.json.encode(values).decode()

    def scope(text: str) -> dict[str, object]:
        return {"event": msgspec.json.decode(text)}

    return EventPlan(name, shape, None, scope=scope)


def _same(program: Program, name: str, event: Event) -> bool:
    found = event_of(program, name)
    return found is not None and found.name == event.name


def _starts(program: Program, flow: WorkflowPlan, event: Event) -> bool:
    trigger = flow.trigger
    return trigger is not None and trigger.kind == "event" and _same(program, trigger.event, event)


def _fits(payload: tuple[Field, ...], fields: tuple[Field, ...], event: str, target: str) -> None:
    given = {field.name: field.type for field in payload}
    for field in fields:
        if field.name not in given:
            if field.required and field.default is None:
                problem = f"event {event} gives no '{field.name}', which it requires"
                instead = f"add {field.name} to the payload of {event}, or give it a default"
                raise Fault(UNFIT, where=target, problem=problem, instead=instead)
        elif given[field.name] != field.type:
            problem = f"'{field.name}' has another type in the payload of {event}"
            raise Fault(UNFIT, where=target, problem=problem, instead="give both the same type")


def _emitted(program: Program, event: Event, target: str) -> str:
    found = event_of(program, target)
    if found is None:
        problem = f"the event {target} is not declared"
        raise Fault(UNFIT, where=f"on {event.name}", problem=problem, instead="declare it")
    _fits(event.payload, found.payload, event.name, f"event {found.name}")
    return found.name


def _outside(program: Program, event: Event, heard: list[Handler]) -> Iterator[str]:
    for hook in program.webhooks:
        if _same(program, hook.event, event):
            yield f"webhook:{hook.name}"
    for act in event.publish:
        if act.name == "webhook":
            yield _webhook(program, event, act)
    for each in heard:
        if each.action == "webhook":
            yield f"webhook:{each.target}"
        elif each.action == "integration":
            yield f"integration:{_operation(program, event, each.target)}"


def _tasks(program: Program, event: Event) -> dict[str, tuple[str, Payload]]:
    """Where Backstay has no wire to (`kafka("orders")`, `slack("#c")`): tasks for the worker of
    that command, as of a step's `send`."""
    where = f"event {event.name}: publish_to"
    found: dict[str, tuple[str, Payload]] = {}
    for act in event.publish:
        if act.name == "webhook":
            continue
        named = compile_named(program, act, names_of(frozenset()), where)
        work = named.work
        if work is None or work.kind != "task" or work.payload is None:
            problem = f"'{act.name}' is no place to publish to"
            instead = 'write webhook("NAME"), or the command of a worker: kafka("orders")'
            raise Fault(UNFIT, where=where, problem=problem, instead=instead)
        same = sum(command == act.name for command, _ in found.values())
        target = f"task:{act.name}" + (f":{same + 1}" if same else "")
        found[target] = (act.name, work.payload)
    return found


def _webhook(program: Program, event: Event, act: Act) -> str:
    where = f"event {event.name}: publish_to"
    named = act.args[0] if act.args else None
    name = str(named.value) if isinstance(named, Constant) else ""
    if not any(hook.name == name for hook in program.webhooks):
        problem = f"there is no webhook {name}"
        raise Fault(UNFIT, where=where, problem=problem, instead=f"declare webhook {name}")
    return f"webhook:{name}"


def _operation(program: Program, event: Event, target: str) -> str:
    name, _, operation = target.partition(".")
    found = next(each for each in program.integrations if each.name == name)
    known = [each.name for each in found.operations]
    if not operation and len(known) == 1:
        operation = known[0]
    if operation not in known:
        problem = f"{target} names no operation of {name}"
        instead = f'write "{name}.OPERATION"; it has {", ".join(known) or "none"}'
        raise Fault(UNFIT, where=f"on {event.name}", problem=problem, instead=instead)
    return f"{name}.{operation}"


def _no_circle(events: Mapping[str, EventPlan]) -> None:
    for start in events:
        seen, ahead = {start}, list(events[start].emits)
        while ahead:
            name = ahead.pop()
            if name == start:
                instead = "start a workflow in one of them"
                problem = "an emit leads back to the event it came from"
                raise Fault(UNFIT, where=f"on {start}", problem=problem, instead=instead)
            if name not in seen:
                seen.add(name)
                ahead += events[name].emits
