"""Jobs: what runs at its time."""

from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.actions import act
from backstay.lang.check.blocks import Members
from backstay.lang.check.expressions import record
from backstay.lang.check.retries import any_retry
from backstay.lang.check.schedules import check_cron, check_period, check_zone
from backstay.lang.check.scope import Scope
from backstay.lang.check.statements import Bodies
from backstay.lang.check.steps import Steps
from backstay.lang.check.workflows import reaction
from backstay.lang.check.world import Checker


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
        check_cron(k, schedule)
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
        check_zone(k, zone)
    scope = Scope()
    inside = Scope()
    inside.outputs = {}
    return p.Job(
        name=name.name,
        schedule=members.text("schedule"),
        timezone=members.text("timezone") or "UTC",
        body=Bodies(k).body(body, scope) if body else _acts(k, members, scope),
        description=members.text("description"),
        every=check_period(k, every.period) if every else 0.0,
        task=_task(k, members, scope),
        steps=Steps(k, inside).all(steps) if steps else (),
        queue=_queue(k, members),
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


QUEUES = ("critical", "default", "low")


def _queue(k: Checker, members: Members) -> str:
    """How urgent the job is. Queues of other names are something that its scheduler would have to
    declare, which no server reads."""
    node = members.value("queue", s.Ident)
    if node is None:
        return ""
    if node.name not in QUEUES:
        k.note("job.queue.other", node.span)
    return node.name
