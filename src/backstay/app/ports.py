"""What the app needs from outside, in its own words. `up` or the console script hands it in."""

from collections.abc import Sequence
from typing import Protocol

import msgspec


class OutsideCall(msgspec.Struct, frozen=True):
    """Work for an outside worker. `key` is execution/step/attempt: the same key twice is one call.

    `payload` is JSON text; `expires_at` is the wall time after which nobody wants the answer; of
    two calls that wait, the one with the higher `priority` (0 to 9) is worked on first.
    """

    key: str
    command: str
    payload: str
    expires_at: float
    priority: int = 3
    traceparent: str = ""


class OutsideResult(msgspec.Struct, frozen=True):
    """What became of a call. `ok` false carries `error`; `output` is JSON text."""

    key: str
    ok: bool
    output: str = ""
    error: str = ""


class TaskQueue(Protocol):
    """A carrier, never the truth: the app's database is."""

    async def send(self, calls: Sequence[OutsideCall]) -> None:
        """Durable with the carrier on return; a call that was sent before changes nothing."""
        ...

    async def outcomes(self, wait: float) -> list[OutsideResult]:
        """Finished calls not yet acknowledged; waits up to `wait` seconds for the first."""
        ...

    async def ack(self, keys: Sequence[str]) -> None:
        """These outcomes are stored here; they need not come again."""
        ...

    async def cancel(self, keys: Sequence[str]) -> None:
        """Nobody waits for these any more. Unknown or finished keys are fine."""
        ...
