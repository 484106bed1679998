"""The shape of workflows: what can never run, never fits into its time, or never ends."""

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence

from backstay.core.duration import format_duration
from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.circles import circles
from backstay.lang.check.truth import truth
from backstay.lang.check.world import Checker, WorkflowInfo, find_event, name_span

_GIVES_UP = ("rollback", "reject", "emit", "start")
"""What `on_fail` may say so that the workflow still turns round."""
_WORDS = {p.Fail: "fail", p.Return: "return", p.If: "if"}


# --- statements ----------------------------------------------------------------------------------


def ends(body: Sequence[p.Statement]) -> bool:
    """Whether nothing can run behind these statements."""
    return any(_ends(each) for each in body)


def _ends(statement: p.Statement) -> bool:
    match statement:
        case p.Fail() | p.Return():
            return True
        case p.If(then=then, otherwise=otherwise):
            return ends(then) and ends(otherwise)
    return False


def said_after(k: Checker, node: s.StatementNode, made: p.Statement) -> None:
    """Warn about statements behind one that lets nothing run."""
    if _ends(made):
        k.error(e.NEVER_DONE, node.span, word=_WORDS.get(type(made), "statement"))


# --- steps ---------------------------------------------------------------------------------------


def surely_fails(step: p.Step) -> bool:
    """Whether a step fails each time it is reached, so that the workflow ends there."""
    if step.for_each is not None or (step.when is not None and truth(step.when) is not True):
        return False
    said = step.on_fail
    if isinstance(said, p.Act) and said.name not in _GIVES_UP:
        return False
    if step.check is not None and truth(step.check.condition) is False:
        return True
    match step.work:
        case p.DoStep(body=body):
            return ends(body)
        case p.ParallelStep(steps=steps):
            return any(surely_fails(each) for each in steps)
    return False


def fits(k: Checker, steps: Sequence[p.Step], spans: Mapping[str, s.Range], limit: float) -> None:
    """Warn about steps whose attempts may take longer than the whole workflow."""
    for step in steps:
        if isinstance(step.work, p.ParallelStep):
            fits(k, step.work.steps, spans, limit)
        needs = step.timeout * step.retry.times
        if step.timeout and limit and needs > limit and step.name in spans:
            said = (format_duration(needs), format_duration(limit))
            k.error(e.NEVER_FITS, spans[step.name], name=step.name, needs=said[0], limit=said[1])


# --- workflows that start each other -------------------------------------------------------------


def endless(k: Checker, workflows: Sequence[p.Workflow]) -> None:
    """Warn about workflows that start themselves again, directly or through others."""
    world = k.world
    triggered: dict[str, list[str]] = {}
    for each in workflows:
        info = find_event(world, each.trigger.event) if each.trigger else None
        if info is not None:
            triggered.setdefault(info.name, []).append(each.name)
    after = {each.name: _started(each) for each in workflows}
    names = list(after)
    place = {name: at for at, name in enumerate(names)}
    # Events stand between: many emit one that starts many, and each would lead to each.
    after |= {_event(name): started for name, started in triggered.items()}
    firsts = {
        min(place[each] for each in group if each in place): group for group in circles(after)
    }
    for at, group in sorted(firsts.items()):
        # The one that stands first in the program is named.
        _say(world.workflows[names[at]], _way_back(names[at], after, group))


def _say(info: WorkflowInfo, way: Sequence[str]) -> None:
    reports = info.reports
    reports.add(e.ENDLESS, name_span(info), name=info.name, way=" -> ".join(way))


def _event(name: str) -> str:
    """An event among workflows; no name of these has a blank."""
    return f"event {name}"


def _way_back(name: str, after: Mapping[str, Sequence[str]], group: Collection[str]) -> list[str]:
    """The shortest way from a workflow to itself through its group, which has one."""
    before: dict[str, str] = {}
    waiting = deque([name])
    while name not in before:
        at = waiting.popleft()
        for following in after.get(at, ()):
            if following in group and following not in before:
                before[following] = at
                # An event is no station: what it starts is as near as what is started by name.
                if " " in following:
                    waiting.appendleft(following)
                else:
                    waiting.append(following)
    way = [name, before[name]]
    while way[-1] != name:
        way.append(before[way[-1]])
    return [each for each in reversed(way) if " " not in each]


def _started(workflow: p.Workflow) -> list[str]:
    """The workflows that each execution starts, whatever happens inside, and its events."""
    found: list[str] = []
    for statement in _always(workflow):
        match statement:
            case p.Start(workflow=name):
                found.append(name)
            case p.Emit(event=event):
                found.append(_event(event))
            case p.Act(name="start", args=(p.Constant(value=str(name)), *_)):
                found.append(name)
            # The text of an activity has blanks, which no workflow's name has.
            case p.Act(name=name) if " " not in name:
                found.append(name)
    return found


def _always(workflow: p.Workflow) -> Iterator[p.Statement]:
    for step in workflow.steps:
        if step.check is not None or surely_fails(step):
            return
        if step.when is not None or step.for_each is not None:
            continue
        match step.work:
            case p.DoStep(body=body):
                yield from body
                if any(_may_end(each) for each in body):
                    return
            case p.EmitStep(emit=emit):
                yield emit
            case p.ActStep(act=act):
                yield act
    yield from workflow.on_complete


def _may_end(statement: p.Statement) -> bool:
    match statement:
        case p.If(then=then, otherwise=otherwise):
            return any(_may_end(each) for each in (*then, *otherwise))
        case p.For(body=body):
            return any(_may_end(each) for each in body)
        case p.Update(otherwise=otherwise):
            return otherwise is not None
        case p.Fail():
            return True
    return False
