"""Tasks: making, leasing, ending and reading them; one method per use case.

Store, clock and ids come in. Tenants are judged before: `tenant` is one tenant, or `ANY_TENANT`
for whoever serves all.
"""

import hashlib
from collections.abc import Sequence
from typing import cast

import msgspec
import structlog

from backstay.core.clock import Clock, Ids
from backstay.core.errors import Fault
from backstay.core.logs import debugs
from backstay.queue.errors import RESULT_NOT_FOUND, TASK_NOT_FOUND
from backstay.queue.metrics import QueueMetrics
from backstay.queue.model import (
    ALLOWED,
    ANY_TENANT,
    ENDED,
    Attempt,
    Page,
    QueueStats,
    Task,
    TaskQuery,
)
from backstay.queue.operations import (
    Abandon,
    Ack,
    Cancel,
    Create,
    Extend,
    Finish,
    FinishAll,
    Finished,
    Nack,
    Op,
    Redrive,
    Reschedule,
)
from backstay.queue.service.claims import Claims, Given, Want
from backstay.queue.store import Engine, Happened
from backstay.queue.store.many import finished as as_finished
from backstay.queue.waiting import Bells, heard

_log = structlog.get_logger("queue")


class Hold(msgspec.Struct, frozen=True):
    """What a worker shows to act on its task."""

    tenant: str
    id: str
    worker: str
    token: str = ""


class Beat(msgspec.Struct, frozen=True):
    """A heartbeat for `seconds` more. `progress` is JSON text; empty keeps what was told."""

    hold: Hold
    seconds: float
    progress: str = ""


class Verdict(msgspec.Struct, frozen=True):
    """A result as submitted: `result` is JSON text."""

    hold: Hold
    ok: bool
    result: str = ""
    error: str = ""


class Queue:
    """The use cases over one engine."""

    def __init__(self, engine: Engine, clock: Clock, ids: Ids, metrics: QueueMetrics) -> None:
        self._engine = engine
        self._clock = clock
        self._metrics = metrics
        self._claims = Claims(engine, clock, ids, metrics)
        self._bells = Bells()
        self._draining = False
        engine.listen(self._happened)

    # --- producers ---------------------------------------------------------------------------

    async def create(self, tasks: Sequence[Create]) -> list[Task | Fault]:
        """All in one commit; each gives its task, or its own Fault."""
        results = await self._engine.apply(tasks, self._clock.now())
        telling = debugs()
        for result in results:
            if isinstance(result, Task):
                self._metrics.created(result.command)
                if telling:
                    _log.debug("task accepted", task_id=result.id, command=result.command)
        return cast("list[Task | Fault]", results)

    async def cancel(self, tenant: str, id: str, reason: str) -> Task:
        """End it before a worker does. Cancelling twice is fine."""
        task = await self._one(Cancel(tenant, id, reason))
        _log.info("task cancelled", task_id=id, command=task.command)
        return task

    async def task(self, tenant: str, id: str) -> Task:
        """Raises QUEUE001."""
        found = await self._engine.task(tenant, id)
        if found is None:
            raise Fault(TASK_NOT_FOUND, id=id)
        return found

    async def result(self, tenant: str, id: str, wait: float) -> Task:
        """The task once it has ended with a result; waits up to `wait` seconds. Raises QUEUE001
        or QUEUE006."""
        until = self._clock.tick() + wait
        bell = self._bells.hang(("task", id))
        try:
            task = await self.task(tenant, id)
            if task.state not in ENDED and await heard(bell, self._clock, until):
                task = await self.task(tenant, id)
        finally:
            self._bells.unhang(("task", id), bell)
        if task.state not in ("completed", "failed"):
            raise Fault(RESULT_NOT_FOUND, id=id, state=task.state)
        return task

    async def page(self, query: TaskQuery) -> Page[Task]:
        return await self._engine.page(query)

    async def attempts(self, tenant: str, id: str) -> list[Attempt]:
        """Every delivery, first to last. Raises QUEUE001."""
        task = await self.task(tenant, id)
        return await self._engine.attempts(task.tenant, task.id)

    async def retry(self, tenant: str, id: str) -> Task:
        """At once: a waiting task is due now, an ended one begins anew. Raises QUEUE001, or
        QUEUE003 for one that a worker holds or that was completed."""
        task = await self.task(tenant, id)
        waiting = task.state in ALLOWED["reschedule"]
        op = Reschedule(task.tenant, id) if waiting else Redrive(task.tenant, id)
        task = await self._one(op)
        _log.info("task retried", task_id=id, command=task.command)
        return task

    async def reschedule(self, tenant: str, id: str, due_at: float) -> Task:
        """A waiting task becomes due at `due_at`; 0 or past: now. Raises QUEUE001 or QUEUE003."""
        return await self._one(Reschedule(tenant, id, due_at))

    # --- workers -----------------------------------------------------------------------------

    async def claim(self, want: Want, wait: float = 0.0) -> Given:
        """See `Claims.wait`."""
        return await self._claims.wait(want, wait)

    async def claim_now(self, want: Want) -> Given:
        """See `Claims.now`."""
        return await self._claims.now(want)

    async def handed(self, tasks: Given) -> Given:
        """See `Claims.handed`."""
        return await self._claims.handed(tasks)

    async def extend(self, beat: Beat) -> Task:
        """A heartbeat: the lease ends `seconds` from now."""
        return await self._one(_extension(beat))

    async def extend_all(self, beats: Sequence[Beat]) -> list[Task | Fault]:
        """Heartbeats, all in one commit; each gives its task, or its own Fault."""
        ops = [_extension(beat) for beat in beats]
        return cast("list[Task | Fault]", await self._engine.apply(ops, self._clock.now()))

    async def abandon(self, hold: Hold) -> Task:
        task = await self._one(Abandon(hold.tenant, hold.id, hold.worker, hold.token))
        self._metrics.requeued(task.command, "abandon")
        _log.info("task abandoned", task_id=task.id, command=task.command, worker=hold.worker)
        return task

    async def nack(self, hold: Hold, reason: str, delay: float | None) -> Task:
        """The attempt failed; the task is put off, or dead after its last delivery."""
        task = await self._one(Nack(hold.tenant, hold.id, hold.worker, hold.token, reason, delay))
        if task.state == "dead":
            self._metrics.died(task.command)
        else:
            self._metrics.requeued(task.command, "nack")
        _log.warning(
            "task nacked",
            task_id=task.id,
            command=task.command,
            worker=hold.worker,
            attempt=task.attempts,
            max_attempts=task.max_attempts,
            state=task.state,
            delay=round(max(0.0, task.due_at - task.updated_at), 3),
            reason=reason,
        )
        return task

    async def finish(self, verdicts: Sequence[Verdict]) -> list[Task | Fault]:
        """Results, all in one commit; each gives the ended task, or its own Fault."""
        ops = [
            Finish(
                tenant=verdict.hold.tenant,
                id=verdict.hold.id,
                worker=verdict.hold.worker,
                token=verdict.hold.token,
                ok=verdict.ok,
                result=verdict.result,
                error=verdict.error,
            )
            for verdict in verdicts
        ]
        results = await self._engine.apply(ops, self._clock.now())
        for result in results:
            if isinstance(result, Task):
                self._tell_ended(result)
        return cast("list[Task | Fault]", results)

    async def finish_all(self, results: Sequence[Finish]) -> Finished:
        """Results of one worker, all in one commit."""
        op = FinishAll(tuple(results))
        if debugs():  # the log tells of each task by itself
            finished = as_finished(await self._engine.apply(results, self._clock.now()))
        else:
            [answer] = await self._engine.apply([op], self._clock.now())
            finished = cast("Finished", answer)
        self._tell_finished(finished)
        return finished

    async def exchange(self, results: Sequence[Finish], want: Want) -> tuple[Finished, Given]:
        """As `finish_all`, and as many new tasks as are there now, in the same commit."""
        if debugs():
            finished = await self.finish_all(results)
            return finished, () if self._draining else await self._claims.now(want)
        finished, given = await self._claims.after(FinishAll(tuple(results)), want)
        self._tell_finished(finished)
        return finished, given

    def _tell_finished(self, finished: Finished) -> None:
        for command, created in finished.created.items():
            seconds = [max(0.0, finished.at - at) for at in created]
            self._metrics.completed_together(command, seconds)
        for other in finished.others.values():
            if isinstance(other, Task):
                self._tell_ended(other)

    # --- readers of outcomes -----------------------------------------------------------------

    async def outcomes(self, tenant: str, reply_to: str, wait: float, limit: int) -> Sequence[Task]:
        """Ended tasks of that reader it has not acknowledged, oldest end first."""
        query = TaskQuery(
            tenant=None if tenant == ANY_TENANT else tenant, reply_to=reply_to, limit=limit
        )
        until = self._clock.tick() + wait
        bell = self._bells.hang(("reply", reply_to))
        try:
            while True:
                bell.clear()
                page = await self._engine.page(query)
                if page.items or self._draining:
                    return page.items
                if not await heard(bell, self._clock, until):
                    return ()
        finally:
            self._bells.unhang(("reply", reply_to), bell)

    async def ack(self, tenant: str, reply_to: str, ids: Sequence[str]) -> int:
        """How many were still unacknowledged."""
        seen = Ack(tenant, reply_to, tuple(ids))
        [count] = await self._engine.apply([seen], self._clock.now())
        return cast("int", count)

    # --- people and machines that look on ----------------------------------------------------

    async def stats(self, command: str | None) -> list[QueueStats]:
        return await self._engine.stats(command)

    def waiting(self, command: str, tenant: str = ANY_TENANT) -> int:
        """Claims that wait for this command now, and would be given a task of this tenant."""
        return self._claims.waiting(command, tenant)

    def waited_for(self) -> set[str]:
        """Commands that somebody waits for by name."""
        return self._claims.waited_for()

    def drain(self) -> None:
        """Give up no work: waiting claims and readers are sent home, new claims refused."""
        self._draining = True
        self._claims.drain()
        self._bells.ring_all()

    # --- inside ------------------------------------------------------------------------------

    async def _one(self, op: Op) -> Task:
        [result] = await self._engine.apply([op], self._clock.now())
        if isinstance(result, Fault):
            raise result
        return cast("Task", result)

    def _tell_ended(self, task: Task) -> None:
        status = "COMPLETED" if task.state == "completed" else "FAILED"
        self._metrics.completed(task.command, status, max(0.0, task.ended_at - task.created_at))
        if task.state == "completed":
            if debugs():
                _log.debug("task completed", task_id=task.id, command=task.command)
        else:
            _log.warning("task failed", task_id=task.id, command=task.command, error=task.error)

    def _happened(self, happened: Happened) -> None:
        for (tenant, command), count in happened.ready.items():
            self._claims.wake(tenant, command, count)
        if self._bells:
            for id_ in happened.ended:
                self._bells.ring(("task", id_))
        for name in happened.replies:
            self._bells.ring(("reply", name))
        for lost in happened.expired:
            self._metrics.expired(lost.command)
            if lost.state == "dead":
                self._metrics.died(lost.command)
            _log.warning(
                "lease expired",
                task_id=lost.id,
                command=lost.command,
                worker=lost.worker,
                attempt=lost.attempts,
                state=lost.state,
            )


def _extension(beat: Beat) -> Extend:
    hold = beat.hold
    return Extend(hold.tenant, hold.id, hold.worker, hold.token, beat.seconds, beat.progress)


def fingerprint(*parts: object) -> str:
    """What makes two creations with one idempotency key the same (decision 4)."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:32]
