"""Workflows: inputs, trigger, steps in order, what is done at the end."""

from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.actions import act
from backstay.lang.check.blocks import Members
from backstay.lang.check.fields import record_type
from backstay.lang.check.graph import fits
from backstay.lang.check.retries import any_retry
from backstay.lang.check.schedules import trigger
from backstay.lang.check.scope import Scope
from backstay.lang.check.statements import Bodies
from backstay.lang.check.steps import Steps
from backstay.lang.check.types import UNKNOWN
from backstay.lang.check.world import Checker, WorkflowInfo, find_event

_DAY = 86400.0


def declare_input(k: Checker, info: WorkflowInfo) -> None:
    """Types of the inputs, before any `start` is looked at."""
    k.turn_to(info.reports, info.declaration)
    for member in info.declaration.block.members:
        if member.name.name == "input" and isinstance(member.value, s.RecordFields):
            info.input = record_type(k, member.value).fields
            info.broken |= member.value.broken


class WorkflowCheck:
    """One workflow; steps see the inputs and the outputs of the steps before them."""

    def __init__(self, k: Checker, info: WorkflowInfo) -> None:
        self.k = k
        self.info = info
        k.turn_to(info.reports, info.declaration)
        self.members = Members(k, info.declaration.block)
        self.scope = Scope()
        self.scope.outputs = {}
        self.scope.lenient = info.broken
        self.trigger = trigger(k, self.members)
        self._event_in_scope()
        for field in info.input:
            self.scope.variables[field.name] = field.type

    def _event_in_scope(self) -> None:
        """A workflow that an event starts sees its payload as `event`, and each field by name
        unless an input has it."""
        if self.trigger is None or self.trigger.kind != "event":
            return
        info = find_event(self.k.world, self.trigger.event)
        if info is None:
            # What an event of another program, or one whose name is a slip, brings is not known.
            self.scope.variables["event"] = UNKNOWN
            self.scope.lenient |= "." not in self.trigger.event
            return
        unknown = info.broken or not info.fields
        kind = UNKNOWN if unknown else p.RecordType(info.fields)
        self.scope.variables["event"] = kind
        for field in info.fields:
            self.scope.variables.setdefault(field.name, field.type)

    def run(self) -> p.Workflow:
        steps = self._steps()
        signals = self.members.value("signals", s.RecordFields)
        # Which steps have run is not known here, so no output can be relied on.
        self.scope.outputs = {}
        on_fail = reaction(self.k, self.members, "workflow", "on_fail", self.scope)
        return p.Workflow(
            name=self.info.name,
            input=self.info.input,
            steps=steps,
            timeout=self.members.seconds("timeout", _DAY),
            on_fail=on_fail,
            description=self.members.text("description"),
            trigger=self.trigger,
            signals=record_type(self.k, signals, "signals").fields if signals else (),
            on_complete=reaction(self.k, self.members, "workflow", "on_complete", self.scope),
            retry=any_retry(self.k, self.members),
        )

    def _steps(self) -> tuple[p.Step, ...]:
        block = self.members.block("steps")
        if block is None or not (block.members or block.broken):
            name = self.info.declaration.name or self.info.declaration.keyword
            example = "steps { NAME { do { … } } }"
            self.members.missing("steps", "a workflow", name.span, example)
            return ()
        self.scope.lenient |= block.broken
        names = self.members.value("signals", s.RecordFields)
        signals = [each.name.name for each in names.fields] if names else ()
        steps = Steps(self.k, self.scope, signals)
        found = steps.all(block)
        fits(self.k, found, steps.spans, self.members.seconds("timeout", _DAY))
        return found


def reaction(
    k: Checker, members: Members, block: str, name: str, scope: Scope
) -> tuple[p.Statement, ...]:
    """`on_fail { … }` or `on_fail: rollback`."""
    body = members.value(name, s.Body)
    if body is not None:
        return Bodies(k).body(body, scope)
    node = members.value(name, s.ActionNode)
    if node is None:
        return ()
    k.note(f"{block}.{name}.action", node.span)
    return (act(k, node, scope),)
