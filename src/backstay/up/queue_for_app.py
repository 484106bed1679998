"""The queue as the app wants it: `app.ports.TaskQueue` on top of the queue's client.

A call becomes a task with the call's key as idempotency key, one delivery (the workflow step owns
the retries, decision 15) and `replyTo` the app; outcomes come by long poll and stay until acked.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

import msgspec

from backstay.app.ports import OutsideCall, OutsideResult
from backstay.queue.client import QueueClient, Refused, new_task

_BATCH = 100
_REMEMBERED = 20_000


class QueueForApp:
    """`name` is whom outcomes are kept for. Failures of the way are the client's Faults: the
    caller tries again.

    A call that the queue refuses for good (too large, no such command) becomes a failed outcome,
    so that its workflow hears of it instead of being sent for ever.
    """

    def __init__(self, client: QueueClient, name: str = "app") -> None:
        self._client = client
        self._name = name
        self._ids: OrderedDict[str, str] = OrderedDict()
        self._refused: dict[str, OutsideResult] = {}
        self._refusal = asyncio.Event()

    async def send(self, calls: Sequence[OutsideCall]) -> None:
        """Durable with the queue on return; the same key twice is one task."""
        for start in range(0, len(calls), _BATCH):
            batch = calls[start : start + _BATCH]
            results = await self._client.batch_create_tasks([self._task(call) for call in batch])
            for call, result in zip(batch, results, strict=True):
                if isinstance(result, Refused):
                    self._note(call, result)
                else:
                    self._remember(call.key, result.id)

    async def outcomes(self, wait: float) -> list[OutsideResult]:
        """Ended calls not yet acknowledged; waits up to `wait` seconds for the first."""
        if self._refused:
            return list(self._refused.values())
        poll = asyncio.create_task(self._poll(wait))
        refusal = asyncio.create_task(self._refusal.wait())
        try:
            await asyncio.wait([poll, refusal], return_when=asyncio.FIRST_COMPLETED)
            # A poll that is given up loses nothing: what it would have brought comes again.
            return await poll if poll.done() else list(self._refused.values())
        finally:
            poll.cancel()
            refusal.cancel()

    async def ack(self, keys: Sequence[str]) -> None:
        """These are stored; those that were never seen here come again."""
        for key in keys:
            self._refused.pop(key, None)
        if not self._refused:
            self._refusal.clear()
        ids = [self._ids[key] for key in keys if key in self._ids]
        if ids:
            await self._client.ack(self._name, ids)

    async def cancel(self, keys: Sequence[str]) -> None:
        """Best effort: a task whose id was forgotten with a restart runs in vain."""
        for key in keys:
            if key not in self._ids:
                continue
            try:
                await self._client.cancel_task(self._ids[key], "nobody waits for it")
            except Refused as ended:
                if not ended.final:
                    raise

    async def close(self) -> None:
        """Close connections. Idempotent."""
        await self._client.close()

    def _task(self, call: OutsideCall) -> dict[str, object]:
        return new_task(
            call.command,
            msgspec.Raw(call.payload.encode()),
            priority=call.priority,
            max_attempts=1,
            idempotency_key=call.key,
            reply_to=self._name,
        )

    def _note(self, call: OutsideCall, refused: Refused) -> None:
        if not refused.final:
            raise refused
        self._refused[call.key] = OutsideResult(call.key, ok=False, error=refused.message)
        self._refusal.set()

    async def _poll(self, wait: float) -> list[OutsideResult]:
        found = await self._client.replies(self._name, wait)
        for outcome in found:
            self._remember(outcome.key, outcome.task_id)
        return [OutsideResult(each.key, each.ok, each.output, each.error) for each in found]

    def _remember(self, key: str, task_id: str) -> None:
        self._ids[key] = task_id
        self._ids.move_to_end(key)
        while len(self._ids) > _REMEMBERED:
            self._ids.popitem(last=False)
