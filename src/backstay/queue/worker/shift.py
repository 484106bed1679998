"""What a worker is working on: runs by task, each with its lease, its function and its end."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from backstay.core.clock import Clock, Dice, Ids
from backstay.queue.api.wire import TaskView
from backstay.queue.client import Ended, QueueClient
from backstay.queue.worker.exchange import Exchange
from backstay.queue.worker.functions import Function, result_of
from backstay.queue.worker.heart import Heart
from backstay.queue.worker.job import Job, enter
from backstay.queue.worker.outbox import Abandoned, Nacked, Outbox, Outcome
from backstay.queue.worker.settings import WorkerSettings
from backstay.queue.worker.threads import Inline, Threads
from backstay.queue.worker.verdicts import Reject, Release, Retry

_log = logging.getLogger("backstay.worker")
ANY = "*"
_LONGEST_REASON = 2000
# Results that the queue has not taken yet: more work than that is not begun.
_BACKLOG = 100


class Run:
    """One delivery under way. `job.lost` means that its outcome is not wanted any more."""

    __slots__ = ("function", "job", "key", "token", "work")

    def __init__(self, job: Job, function: Function) -> None:
        self.job = job
        self.function = function
        self.token = job.task.lease_token
        self.key = self.token or job.id  # a server of codeQ's own gives no token
        self.work: asyncio.Task[None] | None = None

    def give_up(self) -> None:
        self.job.give_up()
        # A thread cannot be stopped: its place stays taken until it ends by itself.
        if self.work is not None and not self.function.plain:
            self.work.cancel()


class Shift:
    """Runs what was claimed, and hands the ends to the outbox."""

    def __init__(
        self,
        client: QueueClient,
        heart: Heart,
        functions: Mapping[str, Function],
        settings: WorkerSettings,
        clock: Clock,
        dice: Dice,
        *,
        stopping: asyncio.Event,
        ids: Ids,
        threads: bool,
    ) -> None:
        self._heart = heart
        self._functions = functions
        self._settings = settings
        self._clock = clock
        self._dice = dice
        self._loop = asyncio.get_running_loop()
        self._threads = Threads() if threads else Inline()
        self._runs: set[Run] = set()
        self._promised = 0
        self._freed = asyncio.Event()
        # Which commands it asks for; empty is any.
        self.commands = () if ANY in functions else tuple(functions)
        exchange = Exchange(client, self, self.commands, settings.lease, stopping, ids)
        self.outbox = Outbox(client, clock, dice, self._delivered, exchange)

    async def room(self, most: int) -> int:
        """Take up to `most` free places, once there is at least one; `give_room` gives them back,
        when they are in use or not wanted."""
        while True:
            # Results that are about to go ask for work themselves.
            taken = 0 if self.outbox.gathering else self.take_room(most)
            if taken:
                return taken
            self._freed.clear()
            await self._freed.wait()

    def take_room(self, most: int) -> int:
        """As `room`, without waiting: 0 when there is none."""
        free = self._settings.concurrency - len(self._runs) - self._promised
        if free <= 0 or len(self.outbox) >= self._settings.concurrency + _BACKLOG:
            return 0
        taken = min(free, most)
        self._promised += taken
        self._freed.set()  # who waits for room may have what is left
        return taken

    def give_room(self, places: int) -> None:
        self._promised -= places
        self._freed.set()

    def begin(self, tasks: Sequence[TaskView], request_id: str) -> None:
        """Start the functions of these tasks."""
        for task in tasks:
            function = self._functions.get(task.command) or self._functions.get(ANY)
            if function is None:  # a foreign server's mistake: we ask for our commands only
                self.hand_back([task])
                continue
            job = Job(task, request_id)
            run = Run(job, function)
            self._runs.add(run)
            self._heart.keep(task.id, run.token, self._lost_of(run), job.take_progress)
            run.work = self._loop.create_task(self._work(run))

    def hand_back(self, tasks: Sequence[TaskView]) -> None:
        """Claimed, and not to be begun."""
        for task in tasks:
            self.outbox.put(Abandoned(task.id, task.lease_token))

    async def finish(self, hurry: asyncio.Event) -> None:
        """Let what runs end within the grace, or until `hurry`; hand back the rest."""
        if self._runs:
            _log.info("draining: %d tasks are still running", len(self._runs))
            works = [run.work for run in self._runs if run.work is not None]
            ended = asyncio.ensure_future(asyncio.wait(works))
            await self._either(ended, hurry, self._settings.grace)
        for run in [*self._runs]:
            self.outbox.put(Abandoned(run.job.id, run.token))
            run.give_up()
        self._threads.close()

    async def flush(self, seconds: float) -> None:
        """Deliver what has ended, within so many seconds."""
        done = asyncio.ensure_future(self.outbox.empty())
        await self._either(done, asyncio.Event(), seconds)
        if len(self.outbox):
            _log.warning(
                "%d outcomes could not be delivered; their tasks will be done again",
                len(self.outbox),
            )

    async def _either(
        self, done: "asyncio.Future[Any]", hurry: asyncio.Event, seconds: float
    ) -> None:
        late = asyncio.ensure_future(self._clock.sleep(self._clock.tick() + seconds))
        told = asyncio.ensure_future(hurry.wait())
        try:
            await asyncio.wait((done, late, told), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in (done, late, told):
                each.cancel()

    async def _work(self, run: Run) -> None:
        job = run.job
        outcome: Outcome | None = None
        try:
            outcome = await self._outcome(run)
        except asyncio.CancelledError as inside:
            # By `give_up`, or by something in the function: that is a failure like any other.
            outcome = self._failed(run, inside)
        finally:
            self._runs.discard(run)
            self._freed.set()
            if outcome is None or job.lost:
                self._heart.release(run.key)
            else:
                self.outbox.put(outcome)

    async def _outcome(self, run: Run) -> Outcome:
        """What became of it. The author's mistakes are the task's failures, not the worker's."""
        job, function, token = run.job, run.function, run.token
        try:
            enter(job)
            arguments = function.arguments(job)
            if function.plain:
                value = await self._threads.run(function.call, *arguments)
            elif function.timeout:
                async with asyncio.timeout(function.timeout):
                    value = await function.call(*arguments)
            else:
                value = await function.call(*arguments)
            return Ended(job.id, token, result_of(value))
        except Reject as verdict:
            return Ended(job.id, token, error=_short(str(verdict) or "rejected"))
        except Retry as again:
            delay = again.delay or self._own_delay(run)
            return Nacked(job.id, token, _short(str(again)), delay)
        except Release:
            return Abandoned(job.id, token)
        except (Exception, SystemExit) as failure:  # noqa: BLE001 - as the docstring says
            return self._failed(run, failure)

    def _failed(self, run: Run, failure: BaseException) -> Outcome:
        job = run.job
        reason = _short(f"{type(failure).__name__}: {failure}".rstrip(": "))
        if not job.lost:
            said = "task %s (%s) failed: %s"
            job.log.warning(said, job.id, job.command, reason, exc_info=failure)
        return Nacked(job.id, run.token, reason, self._own_delay(run))

    def _own_delay(self, run: Run) -> float:
        retry = run.function.retry
        return retry.delay(run.job.attempt, self._dice) if retry else 0.0

    def _lost_of(self, run: Run) -> Callable[[str], None]:
        def lost(reason: str) -> None:  # on the heart's thread
            _log.warning("the lease of %s is lost, its work is cancelled: %s", run.job.id, reason)
            self._loop.call_soon_threadsafe(run.give_up)

        return lost

    def _delivered(self, token: str) -> None:
        self._heart.release(token)
        self._freed.set()


def _short(reason: str) -> str:
    # Half a character, as file names may hold, has no place in JSON.
    whole = reason.encode(errors="replace").decode()
    return whole if len(whole) <= _LONGEST_REASON else whole[: _LONGEST_REASON - 1] + "…"
