"""A program's workflows, jobs and events as they run: every expression compiled once.

`Catalog` holds the plans of each program that a living execution is pinned to (decision 9); the
one being served is what new executions start with, and what events are heard by.
"""

from collections.abc import Callable, Collection, Mapping
from functools import lru_cache

import msgspec

from backstay.app.flow.errors import UNKNOWN_WORKFLOW
from backstay.app.flow.model import ON_FAIL, Phase, Tries
from backstay.app.flow.work import Block, Payload, WorkPlan
from backstay.app.plan.acts import Deed
from backstay.app.plan.bodies import Body
from backstay.app.plan.unit import Closure, Unit
from backstay.core.errors import Fault
from backstay.lang.program import Field, Job, Program, Retry, Trigger

WIDTH = 8
"""Items of a for_each that are under way at once, unless the step says `parallel: N`."""

MOST_ITEMS = 10_000
DEFAULT_PRIORITY = 3
_PRIORITIES: Mapping[str, int] = {"critical": 6, "low": 1}

Stage = tuple[int, int]
"""The first and the last position of steps that run side by side."""


def priority_of(queue: str) -> int:
    """By the queue of a job: which of its outside tasks are worked on first (9 is first), and which
    of several jobs fires first. Workflows, and jobs that say nothing, are in the middle."""
    return _PRIORITIES.get(queue, DEFAULT_PRIORITY)


class EachPlan(msgspec.Struct, frozen=True):
    """A step for each item of a list. `shape` and `parse` take the items to JSON and back."""

    items: Closure
    shape: Callable[[object], object]
    parse: Callable[[object], object]
    names: tuple[str, ...]
    width: int

    def count(self, text: str) -> int:
        """How many items the stored list has."""
        return len(_list(text))

    def item(self, text: str, place: int) -> object:
        """One item of the stored list, as a Python value."""
        found = self.parse([_list(text)[place]])
        return found[0] if isinstance(found, list) else None


class Reaction(msgspec.Struct, frozen=True):
    """What a step says about its own failure: `deed` happens, then the workflow goes on or turns
    round; `message` is its error then."""

    deed: Deed | None = None
    message: Payload | None = None
    goes_on: bool = False


class EmptyPlan(msgspec.Struct, frozen=True):
    """What a step says about finding nothing: `deed` happens, with a `message` it fails, `leaves`
    ends the workflow there. `before` is the value that is looked at before the work is done."""

    before: Closure | None = None
    deed: Deed | None = None
    message: Payload | None = None
    leaves: bool = False


class CheckPlan(msgspec.Struct, frozen=True):
    holds: Closure
    message: Payload


class StepPlan(msgspec.Struct, frozen=True):
    """`timeout` is seconds for one attempt, 0 for the workflow's; `stage` counts from 0; `into` is
    a name of its output besides `steps.NAME`."""

    name: str
    work: WorkPlan
    tries: Tries
    timeout: float
    stage: int
    when: Closure | None = None
    check: CheckPlan | None = None
    undo: WorkPlan | None = None
    each: EachPlan | None = None
    into: str = ""
    on_success: Deed | None = None
    on_fail: Reaction | None = None
    on_empty: EmptyPlan | None = None


class InputPlan(msgspec.Struct, frozen=True):
    """What a workflow takes. `fields` are its inputs and then the payload of its event, whose names
    are in `event`. `free` is an event that nobody declared: its payload is any JSON."""

    fields: tuple[Field, ...]
    body: Body
    shape: Callable[[Mapping[str, object]], str]
    parse: Callable[[str], dict[str, object]]
    fill: Callable[[Unit, dict[str, object]], None]
    event: tuple[str, ...] = ()
    free: bool = False


class WorkflowPlan(msgspec.Struct, frozen=True):
    """`stages` are the positions of `steps` that run side by side, in order; `closing` is the place
    of on_complete among them, or behind them. `again` is how often
    the whole is run when it failed and was undone. `named` are the names that steps give their
    outputs, with theirs; `awaits` are the events that steps wait for; `job` is the job whose run
    an execution is, `priority` that of its outside tasks."""

    name: str
    description: str
    timeout: float
    steps: tuple[StepPlan, ...]
    stages: tuple[Stage, ...]
    closing: int
    on_fail: WorkPlan | None
    input: InputPlan
    again: Tries
    trigger: Trigger | None = None
    signals: Mapping[str, Callable[[object], object]] = {}
    named: tuple[tuple[str, str], ...] = ()
    awaits: frozenset[str] = frozenset()
    job: str = ""
    priority: int = DEFAULT_PRIORITY

    def work_at(self, phase: Phase, position: int) -> WorkPlan:
        """The work that a row stands for. Raises LookupError when there is none."""
        if phase == "forward":
            return self.steps[position].work
        found = self.on_fail if position == ON_FAIL else self.steps[position].undo
        if found is None:
            raise LookupError(f"{self.name} has no compensation for {self.steps[position].name}")
        return found


class JobPlan(msgspec.Struct, frozen=True):
    """A job is a block in the transaction of its run, or the execution of a workflow."""

    job: Job
    block: Block | None = None
    workflow: str = ""
    retry: Retry | None = None


class EventPlan(msgspec.Struct, frozen=True):
    """`targets` are as the deliveries name them; `outside` are those that leave the process, which
    `when` may keep the event from; `tasks` are the ones of these that are tasks for outside
    workers, by command and what the event says to them. An event that nobody declared is `free`:
    any JSON."""

    name: str
    shape: Callable[[Mapping[str, object]], str]
    body: Body | None
    workflows: tuple[str, ...] = ()
    emits: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    tasks: Mapping[str, tuple[str, Payload]] = {}
    when: Closure | None = None
    scope: Callable[[str], dict[str, object]] = lambda _text: {}


class ProgramPlan(msgspec.Struct, frozen=True):
    """What one program can run in the background. `inner` are the workflows of its jobs."""

    hash: str
    workflows: Mapping[str, WorkflowPlan]
    jobs: Mapping[str, JobPlan]
    events: Mapping[str, EventPlan] = {}
    inner: Mapping[str, WorkflowPlan] = {}

    def workflow(self, name: str) -> WorkflowPlan:
        """Raises APP201."""
        found = self.find(name)
        if found is None:
            raise Fault(UNKNOWN_WORKFLOW, workflow=name)
        return found

    def find(self, name: str) -> WorkflowPlan | None:
        return self.workflows.get(name) or self.inner.get(name)

    def event(self, name: str) -> EventPlan | None:
        """`user_created` and `user.created` are one event."""
        return self.events.get(name) or self.events.get(name.replace(".", "_"))


RECENT = 8
"""Programs that stay at hand whatever they are pinned by: requests that began with them may be
under way."""


class Catalog:
    """Plans by the program's hash. Filled by the event loop, read by the writer's thread."""

    def __init__(self, compile: Callable[[Program], ProgramPlan]) -> None:
        self._compile = compile
        self._plans: dict[str, ProgramPlan] = {}
        self.served: ProgramPlan | None = None

    def add(self, program: Program) -> ProgramPlan:
        """Compile it, unless it is known."""
        found = self._plans.get(program.hash)
        if found is None:
            found = self._plans[program.hash] = self._compile(program)
        return found

    def get(self, hash: str) -> ProgramPlan | None:
        return self._plans.get(hash)

    @property
    def crowded(self) -> bool:
        """Whether it is time to `forget`."""
        return len(self._plans) > RECENT

    def forget(self, alive: Collection[str]) -> None:
        """Drop the plans of old programs that are not in `alive`: who asks for one of those again
        has it recalled."""
        served = self.served.hash if self.served else ""
        for old in list(self._plans)[:-RECENT]:
            if old != served and old not in alive:
                del self._plans[old]

    def waiting_for(self, event: str) -> frozenset[str]:
        """Workflows of any program here with a step that waits for this event."""
        return frozenset(
            flow.name
            for plan in list(self._plans.values())  # the event loop may add one meanwhile
            for flow in plan.workflows.values()
            if event in flow.awaits
        )

    def workflow(self, hash: str, name: str) -> WorkflowPlan | None:
        """None when the program, or the workflow in it, is not here."""
        plan = self._plans.get(hash)
        return plan.find(name) if plan else None


@lru_cache(maxsize=64)
def _list(text: str) -> list[object]:
    """A stored list; its steps come one after the other and all ask for it."""
    found: list[object] = msgspec.json.decode(text)
    return found
