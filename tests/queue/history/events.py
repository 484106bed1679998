"""What clients of a queue saw: one record per answered, refused or unanswered request and task.

Simulations and real processes write the same records, so one checker judges both.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from backstay.queue.model import Policy

Kind = Literal[
    "create",
    "claim",
    "extend",
    "finish",
    "nack",
    "abandon",
    "cancel",
    "redrive",
    "reschedule",
    "purge",
    "policy",
    "fire",
    "call",  # a result callback arrived at its receiver
    "restart",  # the server or its store was killed and is back
    "final",  # what a reading of everything showed in the end, once per task
    "owed",  # a callback that the store still owes in the end, waiting or given up
]
Answer = Literal["yes", "no", "unknown"]


class Seen(msgspec.Struct, frozen=True, omit_defaults=True):
    """One observation.

    `began` and `ended` are monotonic seconds of one clock for all clients; what the queue did, it
    did between them. An unanswered request has `ended` infinite: it may still happen. `wall` is the
    queue's wall time where that is known (0: not). A claim of several tasks is several records; one
    that found nothing has no `id`.
    """

    kind: Kind
    began: float
    ended: float
    answer: Answer = "yes"
    wall: float = 0.0
    who: str = ""
    tenant: str = ""
    """Of the asker; `*` serves all."""
    owner: str = ""
    """Tenant of the task in the answer."""
    command: str = ""
    commands: tuple[str, ...] = ()
    id: str = ""
    token: str = ""
    state: str = ""
    attempts: int = 0
    max_attempts: int = 0
    priority: int = 0
    due_at: float = 0.0
    seconds: float = 0.0
    """Of a lease or a heartbeat; of a nack its delay."""
    once: str = ""
    """Idempotency key."""
    fingerprint: str = ""
    key: str = ""
    webhook: bool = False
    result: str = ""
    request: int = 0
    """Which one it was; those of one request happened at one moment, in their `order`."""
    order: int = 0
    policy: Policy | None = None


class Violation(msgspec.Struct, frozen=True):
    """A promise that was broken, and the observations that show it."""

    rule: str
    says: str
    seen: Sequence[Seen] = ()

    def __str__(self) -> str:
        lines = [f"{self.rule}: {self.says}", *(f"    {brief(each)}" for each in self.seen)]
        return "\n".join(lines)


def brief(seen: Seen) -> str:
    """One line: what is not default."""
    values = msgspec.to_builtins(seen)
    return " ".join(f"{name}={value}" for name, value in values.items() if value != "")
