"""The rules of a workflow, pure: which states follow which, and what an attempt's end means.

Nothing here reads a clock or a row. A transition that the tables do not hold is a bug of ours and
raises; what a user may not do is answered by `refusal` with a reason.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from backstay.core.backoff import Backoff
from backstay.core.clock import Dice
from backstay.lang.program import Retry

ExecutionStatus = Literal[
    "pending",
    "running",
    "completed",
    "failed",
    "compensating",
    "compensated",
    "compensation_failed",
    "cancelled",
]
StepState = Literal["pending", "running", "waiting", "done", "failed", "unknown", "skipped"]
Phase = Literal["forward", "compensate"]
Kind = Literal["do", "call", "task", "signal", "each"]
Reason = Literal["", "failed", "timeout", "cancelled", "requested"]
Command = Literal["cancel", "retry", "compensate"]

ON_FAIL = -1
"""The position of the on_fail block: it runs after every compensation."""

EXECUTION_NEXT: Mapping[str, frozenset[str]] = {
    "pending": frozenset({"running", "compensating"}),
    "running": frozenset({"completed", "compensating"}),
    "completed": frozenset({"compensating"}),
    # Running again: a workflow with a retry of its own, undone and not out of tries.
    "compensating": frozenset(
        {"failed", "compensated", "compensation_failed", "cancelled", "running"}
    ),
    "failed": frozenset({"running"}),
    "compensated": frozenset({"running"}),
    "cancelled": frozenset({"running"}),
    "compensation_failed": frozenset({"compensating"}),
}
"""From each status of an execution the ones that may follow."""

STEP_NEXT: Mapping[str, frozenset[str]] = {
    "pending": frozenset({"pending", "running", "waiting", "done", "failed", "unknown", "skipped"}),
    "running": frozenset({"pending", "done", "failed", "unknown"}),
    "waiting": frozenset({"pending", "done", "failed", "unknown"}),
    "done": frozenset(),
    "failed": frozenset({"skipped"}),
    "unknown": frozenset({"skipped"}),
    "skipped": frozenset({"pending"}),
}
"""`waiting` is `running` elsewhere: at an outside worker, until a signal comes, or in the items of
a for_each. It has no lease; but for the last it has an expiry. What failed is set aside as
skipped for a later run, where it may get its turn."""

LIVE: tuple[ExecutionStatus, ...] = ("pending", "running", "compensating")

COMPENSATION = Backoff("exp_full_jitter", base=0.5, cap=60.0)
COMPENSATION_TRIES = 2000
"""Compensations must win: about 17 hours of trying, then a person is needed."""

RETRY_AFTER_LIMIT = 3600.0
"""No target can put a step off for longer than an hour with one answer."""


class Tries(msgspec.Struct, frozen=True):
    """How often, and with which delays, one piece of work is tried. `insist` tries again even
    after an answer that says no."""

    times: int
    backoff: Backoff
    insist: bool = False


def tries_of(retry: Retry) -> Tries:
    """Exponential delays get full jitter: a target that came back is not met by a herd."""
    policy = "exp_full_jitter" if retry.backoff == "exponential" else retry.backoff
    backoff = Backoff(policy, base=retry.initial, cap=max(retry.cap, retry.initial))
    return Tries(retry.times, backoff)


FOR_COMPENSATIONS = Tries(COMPENSATION_TRIES, COMPENSATION, insist=True)


class Outcome(msgspec.Struct, frozen=True):
    """How one attempt ended. `output` is JSON text.

    `failed` means that it certainly had no effect, `unknown` that it may have had one.
    `final` says that the same attempt can only end the same way. `retry_after` is seconds.
    `refused` says that an open breaker kept it from its target: it was not a try at all.
    """

    kind: Literal["done", "failed", "unknown"]
    output: str = ""
    error: str = ""
    final: bool = False
    retry_after: float = 0.0
    refused: bool = False


class Order(msgspec.Struct, frozen=True):
    """In which order steps are undone: position and item, from the first one on; `index` finds one
    of them in it."""

    places: tuple[tuple[int, int], ...]
    index: Mapping[tuple[int, int], int]


class Verdict(msgspec.Struct, frozen=True):
    """What follows for the step: `again` after `delay` seconds, or its end in `state`."""

    state: StepState
    delay: float = 0.0
    unknown: bool = False

    @property
    def again(self) -> bool:
        return self.state == "pending"


def move(status: ExecutionStatus, to: ExecutionStatus) -> ExecutionStatus:
    """`to`, if the table allows it. Raises ValueError otherwise."""
    if to not in EXECUTION_NEXT[status]:
        raise ValueError(f"an execution that is {status} cannot become {to}")
    return to


def step_move(state: StepState, to: StepState) -> StepState:
    """`to`, if the table allows it. Raises ValueError otherwise."""
    if to not in STEP_NEXT[state]:
        raise ValueError(f"a step that is {state} cannot become {to}")
    return to


def judge(outcome: Outcome, attempt: int, tries: Tries, dice: Dice, *, unknown: bool) -> Verdict:
    """What an attempt's end means for its step. `unknown` is whether an earlier attempt was.

    Once unknown, always unknown: a later refusal of the same key does not prove that the first
    attempt had no effect.
    """
    if outcome.kind == "done":
        return Verdict("done", unknown=unknown)
    doubtful = unknown or outcome.kind == "unknown"
    if outcome.refused and tries.times > 1:
        # What may try again waits for the breaker, until its workflow is out of time.
        attempt = min(attempt, tries.times - 1)
    if attempt < tries.times and (tries.insist or not outcome.final):
        delay = max(tries.backoff.delay(attempt, dice), min(outcome.retry_after, RETRY_AFTER_LIMIT))
        return Verdict("pending", delay, doubtful)
    return Verdict("unknown" if doubtful else "failed", unknown=doubtful)


def ending(reason: Reason, *, undone: int, lost: int) -> ExecutionStatus:
    """The last status of an execution whose compensations have ended: `undone` of them worked,
    `lost` did not."""
    if lost:
        return "compensation_failed"
    if reason == "cancelled":
        return "cancelled"
    return "compensated" if undone or reason == "requested" else "failed"


_REFUSALS: Mapping[Command, Mapping[str, str]] = {
    "cancel": {
        "completed": "it has completed; POST …/compensate undoes it",
        "failed": "it has already failed",
        "compensating": "it is already compensating",
        "compensated": "it is already compensated",
        "compensation_failed": "it has ended; POST …/compensate tries its compensations again",
        "cancelled": "it is already cancelled",
    },
    "retry": {
        "pending": "it has not begun yet",
        "running": "it is still running",
        "completed": "it has completed, there is nothing to run again",
        "compensating": "it is compensating; wait for its end",
        "compensation_failed": "a compensation is missing; POST …/compensate first",
    },
    "compensate": {
        "pending": "it has not begun yet; POST …/cancel ends it",
        "running": "it is still running; POST …/cancel ends and compensates it",
        "failed": "it failed with nothing to compensate",
        "compensating": "it is already compensating",
        "compensated": "it is already compensated",
        "cancelled": "it is already compensated",
    },
}


def refusal(command: Command, status: str) -> str:
    """Why a person's command does not fit an execution in `status`; empty when it does (C27)."""
    return _REFUSALS[command].get(status, "")


def step_key(execution: str, step: str, run: int, item: int = -1) -> str:
    """The idempotency key of a step, or of one `item` of it, and of its compensation; a retry of
    the whole is a new run."""
    place = f"{execution}/{step}" if item < 0 else f"{execution}/{step}.{item}"
    return place if run == 1 else f"{place}/run-{run}"


def call_key(key: str, phase: Phase, run: int, attempt: int) -> str:
    """The key of one outside call: execution/step/attempt."""
    place = key if phase == "forward" else f"{key}/compensate"
    return f"{place}/{attempt}" if run == 1 else f"{place}/{run}.{attempt}"
