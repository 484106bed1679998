"""Workflows, their steps, and jobs."""

from typing import Literal

from backstay.lang.program.rules import Check, Retry
from backstay.lang.program.statements import Act, Emit, Statement
from backstay.lang.program.values import Expr, Field, Frozen


class DoStep(Frozen, frozen=True, tag="do"):
    """Database-only: effect and fact commit together."""

    body: tuple[Statement, ...]


class CallStep(Frozen, frozen=True, tag="call"):
    """A call of an integration's operation with an idempotency key of the step."""

    integration: str
    operation: str
    args: tuple[tuple[str, Expr], ...]


class TaskStep(Frozen, frozen=True, tag="task"):
    """Work for an outside worker: `task COMMAND { … }` on the queue."""

    command: str
    payload: Expr


class ActStep(Frozen, frozen=True, tag="act_step"):
    """`action: …`, `send: …`, or the `activity` of an old workflow."""

    verb: Literal["action", "send", "activity"]
    act: Act


class EmitStep(Frozen, frozen=True, tag="emit_step"):
    """`emit: EVENT { … }`."""

    emit: Emit


class QueryStep(Frozen, frozen=True, tag="query_step"):
    """`query: select …`: what the query language reads."""

    text: str


class SignalStep(Frozen, frozen=True, tag="signal_step"):
    """`signal: NAME`: waits for a signal of the workflow, or for an event; what came is the step's
    output."""

    signal: str


class ParallelStep(Frozen, frozen=True, tag="parallel"):
    """`parallel { … }`: steps that run side by side; the next waits for all of them."""

    steps: tuple["Step", ...]


class NoWork(Frozen, frozen=True, tag="none"):
    """A step that only checks."""


Work = (
    DoStep
    | CallStep
    | TaskStep
    | ActStep
    | EmitStep
    | QueryStep
    | SignalStep
    | ParallelStep
    | NoWork
)


class Trigger(Frozen, frozen=True):
    """What starts a workflow: the event of this name, a schedule, or a person."""

    kind: Literal["event", "schedule", "manual"]
    event: str = ""
    schedule: str = ""
    every: float = 0.0


class Deeds(Frozen, frozen=True, tag="deeds"):
    """`on_fail { … }`: statements of the step's own transaction."""

    body: tuple[Statement, ...]


Said = Act | Deeds
"""What a step says about its end."""


class Step(Frozen, frozen=True):
    """`when` false skips it. `timeout` is seconds for one attempt; 0 means the workflow's.

    `for_each` runs it once for each item, which is `item` or has the name in `into`, at the place
    `index`; `check` fails
    it before its work; `into` names its output besides `steps.NAME`; `options` are the members
    that only the work knows (`template`, `data`, …); `on_empty` is for a list without items and a
    query without rows."""

    name: str
    work: Work
    when: Expr | None = None
    timeout: float = 0.0
    retry: Retry = Retry()
    compensate: Work | None = None
    for_each: Expr | None = None
    check: Check | None = None
    into: str = ""
    options: tuple[tuple[str, Expr], ...] = ()
    on_success: Said | None = None
    on_fail: Said | None = None
    on_empty: Said | None = None


class Workflow(Frozen, frozen=True):
    """Steps in order; `steps.NAME` is a finished step's output in later expressions."""

    name: str
    input: tuple[Field, ...]
    steps: tuple[Step, ...]
    timeout: float = 86400.0
    on_fail: tuple[Statement, ...] = ()
    description: str = ""
    trigger: Trigger | None = None
    signals: tuple[Field, ...] = ()
    on_complete: tuple[Statement, ...] = ()
    retry: Retry | None = None


class Job(Frozen, frozen=True):
    """Five-field cron in `timezone`, or each `every` seconds. One of `body`, `task` and `steps`
    says what it does."""

    name: str
    schedule: str
    timezone: str
    body: tuple[Statement, ...]
    description: str = ""
    every: float = 0.0
    task: TaskStep | None = None
    steps: tuple[Step, ...] = ()
    queue: str = ""
    timeout: float = 0.0
    retry: Retry | None = None
    on_complete: tuple[Statement, ...] = ()
    on_fail: tuple[Statement, ...] = ()
