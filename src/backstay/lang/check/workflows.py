"""Workflows and jobs: steps in order, their work, what undoes them, when they run."""

from datetime import UTC, datetime
from typing import Literal

from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.blocks import Members
from backstay.lang.check.expressions import condition, lower, record
from backstay.lang.check.fields import record_type
from backstay.lang.check.scope import Scope
from backstay.lang.check.statements import Bodies
from backstay.lang.check.world import Checker, WorkflowInfo
from backstay.lang.names import suggestion

_BACKOFFS: dict[str, Literal["fixed", "linear", "exponential"]] = {
    "exponential_backoff": "exponential",
    "linear_backoff": "linear",
    "fixed_delay": "fixed",
}
_WORK = ("do", "call", "task")
MOST_TRIES = 1000
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
        for field in info.input:
            self.scope.variables[field.name] = field.type

    def run(self) -> p.Workflow:
        steps = self._steps()
        on_fail: tuple[p.Statement, ...] = ()
        node = self.members.value("on_fail", s.Body)
        if node is not None:
            # Which steps have run is not known here, so no output can be relied on.
            self.scope.outputs = {}
            on_fail = Bodies(self.k).body(node, self.scope)
        return p.Workflow(
            name=self.info.name,
            input=self.info.input,
            steps=steps,
            timeout=self.members.seconds("timeout", _DAY),
            on_fail=on_fail,
            description=self.members.text("description"),
        )

    def _steps(self) -> tuple[p.Step, ...]:
        block = self.members.block("steps")
        if block is None or not (block.members or block.broken):
            name = self.info.declaration.name or self.info.declaration.keyword
            example = "steps { NAME { do { … } } }"
            self.members.missing("steps", "a workflow", name.span, example)
            return ()
        outputs: dict[str, bool] = {}
        found: list[p.Step] = []
        self.scope.lenient |= block.broken
        for member in block.members:
            if member.name.name in outputs:
                self.k.error(e.DUPLICATE_DECLARATION, member.name.span, name=member.name.name)
            if isinstance(member.value, s.Block):
                self.scope.outputs = outputs
                step = self._step(member.name, member.value)
                if step is not None:
                    found.append(step)
            outputs[member.name.name] = "do" not in [
                each.name.name for each in getattr(member.value, "members", ())
            ]
        return tuple(found)

    def _step(self, name: s.Ident, block: s.Block) -> p.Step | None:
        members = Members(self.k, block)
        when = members.expression("when")
        retry = members.value("retry", s.RetryNode)
        compensate = members.block("compensate")
        work = self._work(members, name.span, f"step '{name.name}'")
        undo = None
        if compensate is not None:
            member = members.member("compensate")
            span = member.name.span if member else name.span
            undo = self._work(Members(self.k, compensate), span, "compensate")
        made = p.Step(
            name=name.name,
            work=work or p.DoStep(()),
            when=condition(self.k, when, self.scope, "when") if when else None,
            timeout=members.seconds("timeout", 0.0),
            retry=retry_of(self.k, retry),
            compensate=undo,
        )
        return made if work else None

    def _work(self, members: Members, span: s.Range, owner: str) -> p.Work | None:
        given = [name for name in _WORK if name in members]
        if not given:
            example = "write do { … }, call: Integration.operation { … } or task: COMMAND { … }"
            members.missing("do', 'call' or 'task", owner, span, example)
            return None
        for name in given[1:]:
            member = members.member(name)
            if member is not None:
                what = f"{owner} has both '{given[0]}' and '{name}'"
                self.k.error(e.WORK_COUNT, member.name.span, what=what)
        member = members.member(given[0])
        match member.value if member else None:
            case s.Body() as body:
                return p.DoStep(Bodies(self.k).body(body, self.scope))
            case s.CallNode() as call:
                return self._call(call)
            case s.TaskNode(command=command, payload=payload):
                return p.TaskStep(command.name, record(self.k, payload, self.scope))
        return None

    def _call(self, node: s.CallNode) -> p.CallStep:
        k = self.k
        args: dict[str, p.Expr] = {}
        for entry in node.args:
            if entry.name.name in args:
                k.error(e.DUPLICATE_MEMBER, entry.name.span, name=entry.name.name)
            args[entry.name.name] = lower(k, entry.value, self.scope)
        info = k.world.integrations.get(node.integration.name)
        if info is None:
            if not k.world.incomplete:
                k.unknown(e.UNKNOWN_INTEGRATION, node.integration, k.world.integrations)
        elif node.operation.name not in info.operations:
            if not info.broken:
                k.unknown(
                    e.UNKNOWN_OPERATION, node.operation, info.operations, integration=info.name
                )
        else:
            for hole in holes(info.operations[node.operation.name].path):
                if hole not in args:
                    owner = f"call {info.name}.{node.operation.name}"
                    k.error(e.MISSING_VALUE, node.operation.span, owner=owner, name=hole)
        return p.CallStep(node.integration.name, node.operation.name, tuple(args.items()))


def holes(path: str) -> list[str]:
    """Names in braces of a path."""
    return [part[1:-1] for part in path.split("/") if part.startswith("{") and part.endswith("}")]


def retry_of(k: Checker, node: s.RetryNode | None) -> p.Retry:
    """`4 times with exponential_backoff(200ms, 2s)`."""
    if node is None:
        return p.Retry()
    times = node.times.value
    if not isinstance(times, int) or not 1 <= times <= MOST_TRIES:
        what = f"retry takes 1 to {MOST_TRIES} tries, not {times}"
        k.error(e.BAD_RETRY, node.times.span, what=what)
        times = 1
    if node.backoff is None:
        return p.Retry(times)
    kind = _BACKOFFS.get(node.backoff.name)
    if kind is None:
        what = f"unknown delay '{node.backoff.name}'; there are {', '.join(_BACKOFFS)}"
        span = k.reports.at(node.backoff.span)
        edit = suggestion(node.backoff.name, _BACKOFFS, span)
        k.error(e.BAD_RETRY, node.backoff.span, edit=edit, expected=tuple(_BACKOFFS), what=what)
        return p.Retry(times)
    default = p.Retry()
    most = 1 if kind == "fixed" else 2
    if len(node.args) > most:
        name, got = node.backoff.name, len(node.args)
        k.error(e.WRONG_ARGUMENTS, node.backoff.span, name=name, wanted=most, got=got)
    seconds = [_seconds(k, arg) for arg in node.args[:most]]
    initial = seconds[0] if seconds and seconds[0] is not None else default.initial
    cap = seconds[1] if len(seconds) > 1 and seconds[1] is not None else max(default.cap, initial)
    if cap < initial:
        what = "the first delay is longer than the longest"
        k.error(e.BAD_RETRY, node.args[1].span, what=what)
    return p.Retry(times, kind, initial, cap)


def _seconds(k: Checker, node: s.Expr) -> float | None:
    if isinstance(node, s.Literal_) and node.literal == "duration":
        return float(node.value or 0)
    k.error(e.NOT_CONSTANT, node.span, what="a delay", wanted="a duration such as 200ms")
    return None


# --- jobs --------------------------------------------------------------------------------------


def job(k: Checker, node: s.Declaration) -> p.Job:
    """A job: five fields of cron in a time zone, and what it does."""
    members = Members(k, node.block)
    name = node.name or node.keyword
    schedule = members.value("schedule", s.Literal_)
    body = members.value("do", s.Body)
    if schedule is None:
        members.missing("schedule", "a job", name.span, 'schedule: "15 2 * * *"')
    else:
        _check_cron(k, schedule)
    if body is None:
        members.missing("do", "a job", name.span, "do { … }")
    zone = members.value("timezone", s.Literal_)
    if zone is not None:
        _check_zone(k, zone)
    scope = Scope()
    return p.Job(
        name=name.name,
        schedule=members.text("schedule"),
        timezone=members.text("timezone") or "UTC",
        body=Bodies(k).body(body, scope) if body else (),
        description=members.text("description"),
    )


def _check_cron(k: Checker, node: s.Literal_) -> None:
    from cronsim import CronSim, CronSimError

    text = str(node.value)
    reason = ""
    if len(text.split()) != 5:
        reason = f"it has {len(text.split())} fields"
    else:
        try:
            CronSim(text, datetime(2026, 1, 1, tzinfo=UTC))
        except CronSimError as bad:
            reason = str(bad).lower()
    if reason:
        k.error(e.BAD_CRON, node.span, text=text, reason=reason)


def _check_zone(k: Checker, node: s.Literal_) -> None:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

    name = str(node.value)
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        edit = suggestion(name, available_timezones(), k.reports.at(node.span))
        if edit:
            edit = type(edit)(edit.title, edit.span, f'"{edit.text}"')
        k.error(e.BAD_ZONE, node.span, edit=edit, name=name)
