"""Events: what they carry, where they go, and who listens."""

import re
from collections.abc import Iterable

import msgspec

from backstay.core.nearest import nearest
from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.actions import act, as_expr
from backstay.lang.check.blocks import Members
from backstay.lang.check.expressions import condition
from backstay.lang.check.fields import record_type
from backstay.lang.check.scope import Scope
from backstay.lang.check.world import Checker, EventInfo, find_event
from backstay.lang.names import listed, suggestion

_EVENT_NAME = re.compile(r"[a-z][a-z0-9]*(?:[._][a-z0-9]+)+|[A-Z][A-Za-z0-9]*")
_JSON = s.Ident(s.Range(0, 0, 0, 0), "json")


def declare_event(k: Checker, info: EventInfo) -> None:
    """The payload, before any `emit` is looked at."""
    k.turn_to(info.reports, info.declaration)
    members = Members(k, info.declaration.block)
    schema = members.value("schema", s.RecordFields)
    payload = members.value("payload", s.RecordFields)
    if schema is not None and payload is not None:
        member = members.member("schema")
        what, fix = "'schema' and 'payload' mean the same", "keep payload"
        k.error(e.CONFLICT, member.name.span if member else schema.span, what=what, fix=fix)
    node = payload or schema
    if node is not None:
        info.broken |= node.broken
        plain = _plain(node) if node is schema else node
        info.fields = record_type(k, plain, f"event '{info.name}'").fields
    name = info.declaration.name
    if name is not None and not _EVENT_NAME.fullmatch(name.name):
        k.error(e.EVENT_NAME, name.span, name=name.name)


def _plain(schema: s.RecordFields) -> s.RecordFields:
    """A schema has one word for a type: `array` and `decimal` say no more than that there is
    something."""
    fields = tuple(
        msgspec.structs.replace(field, type=s.TypeName(field.type.span, _JSON))
        if isinstance(field.type, s.TypeName)
        and field.type.name.name in ("array", "list", "decimal")
        and not field.type.args
        else field
        for field in schema.fields
    )
    return msgspec.structs.replace(schema, fields=fields)


def event(k: Checker, info: EventInfo) -> p.Event:
    """The checked event."""
    k.turn_to(info.reports, info.declaration)
    members = Members(k, info.declaration.block)
    scope = Scope()
    scope.lenient = info.broken
    for field in info.fields:
        scope.variables[field.name] = field.type
    scope.variables["event"] = p.RecordType(info.fields)
    trigger = members.value("trigger", s.TriggerNode)
    when = None
    if trigger is not None:
        expr = trigger.value if trigger.trigger == "when" else None
        node = as_expr(expr) if not isinstance(expr, s.Ident | s.EveryNode) else None
        if node is None:
            what, fix = "the trigger of an event is a condition", "write trigger: when COND"
            k.error(e.CONFLICT, trigger.span, what=what, fix=fix)
        else:
            scope.lenient = True
            when = condition(k, node, scope, "trigger")
    publish = members.value("publish_to", s.ListExpr)
    targets = publish.items if publish else ()
    for target in targets:
        _published(k, target)
    return p.Event(
        name=info.name,
        payload=info.fields,
        publish=tuple(act(k, s.ActionNode(each.span, each), scope) for each in targets),
        when=when,
        description=members.text("description"),
    )


_TARGETS = ("workflow", "integration", "emit", "webhook")


def handler(k: Checker, node: s.HandlerNode) -> p.Handler:
    """`on "event" do ACTION "target"`: an end that is close to a declared name is a slip, another
    is taken to be elsewhere, as in files of the first version."""
    name, target = str(node.event.value), str(node.target.value)
    _heard(k, s.Ident(node.event.span, name))
    there = s.Ident(node.target.span, target)
    world = k.world
    match node.action.name:
        case "workflow":
            k.use("workflow", target)
            if _is_slip(k, there, world.workflows, f"unknown workflow '{target}'"):
                k.unknown(e.UNKNOWN_WORKFLOW, there, world.workflows)
        case "integration":
            integration = target.split(".", maxsplit=1)[0]
            k.use("integration", integration)
            there = s.Ident(node.target.span, integration)
            if _is_slip(k, there, world.integrations, f"unknown integration '{integration}'"):
                k.unknown(e.UNKNOWN_INTEGRATION, there, world.integrations)
        case "emit":
            _heard(k, there)
        case "webhook":
            k.use("webhook", target)
            what = f"unknown webhook '{target}'"
            if _is_slip(k, there, world.named["webhook"], what):
                named(k, "webhook", there, what)
            _is_sent(k, there)
        case _:
            k.unknown(e.UNKNOWN_WORD, node.action, _TARGETS, what="the action of a handler")
    return p.Handler(name, node.action.name, target, node.asynchronous)


def _is_sent(k: Checker, webhook: s.Ident) -> None:
    """Reports a webhook that is received where one is wanted that is sent."""
    if webhook.name in k.world.received:
        what = f"webhook '{webhook.name}' is received: no event can be sent to it"
        fix = "name a webhook with a url; what is received becomes the event that it names"
        k.error(e.CONFLICT, webhook.span, what=what, fix=fix)


def _published(k: Checker, target: s.Expr) -> None:
    match target:
        case s.CallExpr(callee=s.NameExpr(name="webhook"), args=(s.Literal_(value=str(name)), *_)):
            _is_sent(k, s.Ident(target.args[0].span, name))


def _heard(k: Checker, event: s.Ident) -> None:
    events, what = k.world.events, f"event '{event.name}' is not registered"
    if find_event(k.world, event.name) is not None or _is_slip(k, event, events, what):
        k.event(event)


def _is_slip(k: Checker, name: s.Ident, known: Iterable[str], what: str) -> bool:
    """Whether the name is close to one that is declared. One that is close to none is said to be
    elsewhere, and kept from every server by its note."""
    names = list(known)
    if name.name in names or k.world.incomplete:
        return False
    if nearest(name.name, names) is not None:
        return True
    k.error(e.ELSEWHERE, name.span, what=what, known=listed(names))
    k.note("on.elsewhere", name.span)
    return False


def named(k: Checker, kind: str, name: s.Ident, what: str) -> None:
    """Reports a role, provider, middleware or webhook that no file declares."""
    known = k.world.named[kind]
    if name.name not in known and not k.world.incomplete:
        edit = suggestion(name.name, known, k.reports.at(name.span))
        k.error(e.UNKNOWN_NAMED, name.span, edit=edit, what=what, known=listed(known))
