"""Workflows and jobs: steps in order, their work, what undoes them, when they run."""

from datetime import UTC, datetime
from typing import Literal

from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.actions import act, check, emitted
from backstay.lang.check.blocks import Members
from backstay.lang.check.expressions import condition, declare, lower, record
from backstay.lang.check.fields import record_type
from backstay.lang.check.scope import Scope
from backstay.lang.check.statements import Bodies
from backstay.lang.check.types import STRING, UNKNOWN, item_of, show
from backstay.lang.check.world import Checker, WorkflowInfo, find_event
from backstay.lang.names import suggestion
from backstay.lang.parser import grammar

_BACKOFFS: dict[str, Literal["fixed", "linear", "exponential"]] = {
    "exponential_backoff": "exponential",
    "linear_backoff": "linear",
    "fixed_delay": "fixed",
}
_WORK = ("do", "call", "task", "action", "send", "emit", "query", "activity")
_OPTIONS = ("input", "template", "data", "subject", "attachment", "format", "parallel")
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
        self.trigger = trigger(k, self.members)
        self._event_in_scope()
        for field in info.input:
            self.scope.variables[field.name] = field.type

    def _event_in_scope(self) -> None:
        """A workflow that an event starts sees its payload as `event`, and each field by name
        unless an input has it."""
        info = find_event(self.k.world, self.trigger.event) if self.trigger else None
        if info is None:
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
            signals=record_type(self.k, signals).fields if signals else (),
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
        return Steps(self.k, self.scope).steps(block, {})


class Steps:
    """The steps of a workflow or of a job."""

    def __init__(self, k: Checker, scope: Scope) -> None:
        self.k = k
        self.scope = scope

    def steps(self, block: s.Block, outputs: dict[str, bool]) -> tuple[p.Step, ...]:
        """Steps in order. `outputs` are those of the steps before; it is added to."""
        found: list[p.Step] = []
        for member in block.members:
            block_ = member.value
            together = member.name.name == "parallel" and isinstance(block_, s.Block)
            if together and isinstance(block_, s.Block) and not _is_step(block_):
                found.append(self._parallel(member.name, block_, outputs))
                continue
            if member.name.name in outputs:
                self.k.error(e.DUPLICATE_DECLARATION, member.name.span, name=member.name.name)
            if isinstance(member.value, s.Block):
                self.scope.outputs = outputs
                step = self._step(member.name, member.value)
                if step is not None:
                    found.append(step)
            names = [each.name.name for each in getattr(member.value, "members", ())]
            outputs[member.name.name] = "do" not in names
        return tuple(found)

    def _parallel(self, name: s.Ident, block: s.Block, outputs: dict[str, bool]) -> p.Step:
        """Steps side by side do not see each other."""
        before = dict(outputs)
        found: list[p.Step] = []
        for member in block.members:
            alone = s.Block(block.span, (member,), block.broken)
            mine = dict(before)
            found += self.steps(alone, mine)
            if member.name.name in outputs:
                self.k.error(e.DUPLICATE_DECLARATION, member.name.span, name=member.name.name)
            outputs[member.name.name] = mine.get(member.name.name, False)
        return p.Step(name.name, p.ParallelStep(tuple(found)))

    def _step(self, name: s.Ident, block: s.Block) -> p.Step | None:
        members = Members(self.k, block)
        when = members.expression("when")
        retry = members.value("retry", s.RetryNode)
        each = self._for_each(members)
        outer = self.scope
        if each is not None:
            self.scope = each[1]
        checks = members.value("check", s.CheckNode)
        checked = check(self.k, checks, self.scope) if checks else None
        work = self._work(members, name.span, f"step '{name.name}'", checks=checked is not None)
        undo = self._undo(members)
        made = p.Step(
            name=name.name,
            work=work or p.DoStep(()),
            when=condition(self.k, when, self.scope, "when") if when else None,
            timeout=members.seconds("timeout", 0.0),
            retry=any_retry(self.k, members) or retry_of(self.k, retry),
            compensate=undo,
            for_each=each[0] if each else None,
            check=checked,
            into=self._into(members, outer),
            options=self._options(members),
            on_success=self._act(members, "on_success"),
            on_fail=self._act(members, "on_fail"),
        )
        self._says_something(name, made, members)
        self.scope = outer
        return made if work else None

    def _for_each(self, members: Members) -> tuple[p.Expr, Scope] | None:
        node = members.expression("for_each")
        if node is None:
            return None
        items = lower(self.k, node, self.scope)
        kind = item_of(items.type)
        if kind is None:
            self.k.error(e.NOT_ITERABLE, node.span, type=show(items.type))
        inner = Scope(self.scope)
        inner.variables["item"] = kind or UNKNOWN
        name = members.value("as", s.Ident)
        if name is not None:
            inner.variables[name.name] = kind or UNKNOWN
        return items, inner

    def _into(self, members: Members, outer: Scope) -> str:
        name = members.value("as", s.Ident)
        if name is None:
            return ""
        if "for_each" not in members:
            declare(self.k, outer, name, UNKNOWN)
        return name.name

    def _options(self, members: Members) -> tuple[tuple[str, p.Expr], ...]:
        found = []
        for name in _OPTIONS:
            node = members.expression(name)
            if isinstance(node, s.RecordExpr):
                found += [(f"{name}.{n}", v) for n, v in self._inputs(node)]
            elif isinstance(node, s.NameExpr) and self.scope.find(node.name) is None:
                found.append((name, p.Constant(node.name, STRING)))
            elif node is not None:
                found.append((name, lower(self.k, node, self.scope)))
        old = members.expression("if")
        if old is not None:
            found.append(("if", lower(self.k, old, self.scope)))
        return tuple(found)

    def _inputs(self, node: s.RecordExpr) -> list[tuple[str, p.Expr]]:
        """Old inputs are paths in quotes; they are kept as they are written."""
        return [(each.name.name, lower(self.k, each.value, self.scope)) for each in node.fields]

    def _act(self, members: Members, name: str) -> p.Act | None:
        node = members.value(name, s.ActionNode)
        if node is not None:
            return act(self.k, node, self.scope)
        body = members.value(name, s.Body)
        if body is not None:
            what, instead = f"{name} of a step as a block", "name what is done: on_fail: rollback"
            self.k.error(e.UNSUPPORTED, body.span, what=what, instead=instead)
        return None

    def _undo(self, members: Members) -> p.Work | None:
        member = members.member("compensate")
        match member.value if member else None:
            case s.Block() as block if member is not None:
                return self._work(Members(self.k, block), member.name.span, "compensate")
            case s.ActionNode() as node:
                return p.ActStep("action", act(self.k, node, self.scope))
        return None

    def _says_something(self, name: s.Ident, made: p.Step, members: Members) -> None:
        """Steps that never run, and compensations with nothing behind them."""
        if isinstance(made.when, p.Constant) and made.when.value is False:
            self.k.error(e.UNREACHABLE, name.span, name=name.name)
        if made.compensate is not None and isinstance(made.work, p.NoWork | p.QueryStep):
            member = members.member("compensate")
            span = member.name.span if member else name.span
            self.k.error(e.USELESS_COMPENSATION, span, name=name.name)

    def _work(
        self, members: Members, span: s.Range, owner: str, *, checks: bool = False
    ) -> p.Work | None:
        given = [name for name in _WORK if name in members]
        if not given and checks:
            return p.NoWork()
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
        return self._work_of(given[0], member.value) if member else None

    def _work_of(self, verb: str, node: s.Value) -> p.Work | None:
        match node:
            case s.Body() as body:
                return p.DoStep(Bodies(self.k).body(body, self.scope))
            case s.CallNode() as call:
                return self._call(call)
            case s.TaskNode(command=command, payload=payload):
                return p.TaskStep(command.name, record(self.k, payload, self.scope))
            case s.ActionNode():
                made = act(self.k, node, self.scope)
                return p.ActStep("send" if verb == "send" else "action", made)
            case s.EmitNode():
                return p.EmitStep(emitted(self.k, node, self.scope))
            case s.QueryNode(text=text):
                return p.QueryStep(text)
            case s.Literal_(value=value):
                return p.ActStep("activity", p.Act(str(value)))
        return None

    def _call(self, node: s.CallNode) -> p.CallStep:
        k = self.k
        args: dict[str, p.Expr] = {}
        for entry in node.args:
            if entry.name.name in args:
                k.error(e.DUPLICATE_MEMBER, entry.name.span, name=entry.name.name)
            args[entry.name.name] = lower(k, entry.value, self.scope)
        info = k.world.integrations.get(node.integration.name)
        k.use("integration", node.integration.name)
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


def _is_step(block: s.Block) -> bool:
    """Whether a block named `parallel` is a step of that name."""
    return any(each.name.name in grammar.BLOCKS["step"] for each in block.members)


def trigger(k: Checker, members: Members) -> p.Trigger | None:
    """What starts a workflow besides `start`."""
    node = members.value("trigger", s.TriggerNode)
    if node is None:
        return None
    match node.trigger, node.value:
        case "event", s.Ident() as name:
            # Old workflows are started by events of the world outside, in quotes.
            found = find_event(k.world, name.name)
            if found is not None:
                k.use("event", found.name)
            elif not (k.world.incomplete or "." in name.name):
                k.event(name)
            return p.Trigger("event", event=name.name)
        case "schedule", s.EveryNode(period=period):
            return p.Trigger("schedule", every=float(period.value or 0))
        case "schedule", s.Literal_() as text:
            _check_cron(k, text)
            return p.Trigger("schedule", schedule=str(text.value))
        case "manual", _:
            return p.Trigger("manual")
    what, fix = "a workflow is started by an event, a schedule or by hand", "write trigger: EVENT"
    k.error(e.CONFLICT, node.span, what=what, fix=fix)
    return None


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


def any_retry(k: Checker, members: Members) -> p.Retry | None:
    """`retry: …` in either spelling."""
    block = members.block("retry")
    if block is not None:
        return retry_rule(k, block)
    node = members.value("retry", s.RetryNode)
    return retry_of(k, node) if node else None


def retry_rule(k: Checker, block: s.Block) -> p.Retry:
    """`retry { max_attempts 3 initial_interval "1s" backoff_multiplier 2.0 }`."""
    members, default = Members(k, block), p.Retry()
    times = members.expression("max_attempts")
    tries = 3
    if isinstance(times, s.Literal_) and times.value == 0:
        what = "retry max_attempts must be positive"
        k.error(e.BAD_SETTING, times.span, what=what, fix="write 1 or more")
    elif times is not None:
        tries = members.integer("max_attempts", 3, 1, MOST_TRIES)
    factor = members.expression("backoff_multiplier")
    positive_backoff(k, factor)
    initial = members.seconds("initial_interval", default.initial)
    fixed = isinstance(factor, s.Literal_) and str(factor.value) in ("1", "1.0")
    cap = members.seconds("max_interval", max(default.cap, initial))
    return p.Retry(tries, "fixed" if fixed else "exponential", initial, cap)


def positive_backoff(k: Checker, node: s.Expr | None) -> None:
    """Delays grow, or stay."""
    number = isinstance(node, s.Literal_) and node.literal in ("int", "decimal")
    if number and isinstance(node, s.Literal_) and float(str(node.value)) < 1:
        what = "retry backoff must be >= 1.0"
        k.error(e.BAD_SETTING, node.span, what=what, fix="write 1.0 or more")


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
    every = members.value("schedule", s.EveryNode)
    body = members.value("do", s.Body)
    if every is None and schedule is None:
        members.missing("schedule", "a job", name.span, 'schedule: "15 2 * * *"')
    elif schedule is not None:
        _check_cron(k, schedule)
    work = [each for each in ("do", "steps", "task", "action") if each in members]
    if not work:
        members.missing("do", "a job", name.span, "do { … }")
    for extra in work[1:]:
        member = members.member(extra)
        what = f"job '{name.name}' has both '{work[0]}' and '{extra}'"
        k.error(e.WORK_COUNT, member.name.span if member else name.span, what=what)
    steps = members.block("steps")
    zone = members.value("timezone", s.Literal_)
    if zone is not None:
        _check_zone(k, zone)
    scope = Scope()
    inside = Scope()
    inside.outputs = {}
    outputs: dict[str, bool] = {}
    return p.Job(
        name=name.name,
        schedule=members.text("schedule"),
        timezone=members.text("timezone") or "UTC",
        body=Bodies(k).body(body, scope) if body else _acts(k, members, scope),
        description=members.text("description"),
        every=float(every.period.value or 0) if every else 0.0,
        task=_task(k, members, scope),
        steps=Steps(k, inside).steps(steps, outputs) if steps else (),
        queue=_queue(members),
        timeout=members.seconds("timeout", 0.0),
        retry=any_retry(k, members),
        on_complete=reaction(k, members, "job", "on_complete", scope),
        on_fail=reaction(k, members, "job", "on_fail", scope),
    )


def _acts(k: Checker, members: Members, scope: Scope) -> tuple[p.Statement, ...]:
    node = members.value("action", s.ActionNode)
    return (act(k, node, scope),) if node else ()


def _task(k: Checker, members: Members, scope: Scope) -> p.TaskStep | None:
    node = members.value("task", s.TaskNode)
    return p.TaskStep(node.command.name, record(k, node.payload, scope)) if node else None


def _queue(members: Members) -> str:
    node = members.value("queue", s.Ident)
    return node.name if node else ""


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
