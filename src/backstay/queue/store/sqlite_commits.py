"""Many callers, one commit: what is asked for while the disk is busy is done together afterwards.

`core.sqlite` already joins what is given to it; but each piece has a savepoint and a hand-over of
its own there, which costs more than a small operation does. Operations refuse before they change
anything, so they need no savepoint: all that wait are run as one piece.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

import apsw

from backstay.core.errors import Fault
from backstay.core.sqlite import Database
from backstay.queue.operations import Op, OpResult
from backstay.queue.store import Happened

# So much is done in one piece at most, so that nobody waits long for the first answer.
_CALLS = 512

_Answer = asyncio.Future[list[OpResult]]


class Call:
    """One `apply`: what was asked, when, and what came of it."""

    __slots__ = ("answer", "now", "ops", "results")

    def __init__(self, ops: Sequence[Op], now: float, answer: _Answer) -> None:
        self.ops = ops
        self.now = now
        self.answer = answer
        self.results: list[OpResult] = []


Run = Callable[[apsw.Connection, Sequence[Call]], Happened]


class Commits:
    """`run` does calls inside a transaction; `tell` hears what each commit changed. Used from one
    event loop."""

    def __init__(self, db: Database, run: Run, tell: Callable[[Happened], None]) -> None:
        self._db = db
        self._run = run
        self._tell = tell
        self._calls: deque[Call] = deque()
        # Whether a piece of work is on its way that has not yet taken what waits. Set by the loop,
        # cleared by the writing thread before it takes: at worst one piece finds nothing to do.
        self._sent = False
        self._tasks: set[asyncio.Task[None]] = set()

    def give(self, ops: Sequence[Op], now: float) -> _Answer:
        """The answer arrives when it is durable. Cancelling it does not take the work back."""
        answer: _Answer = asyncio.get_running_loop().create_future()
        self._calls.append(Call(ops, now, answer))
        self._send()
        return answer

    async def finished(self) -> None:
        """All that was given is answered."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _send(self) -> None:
        if not self._sent:
            self._sent = True
            task = asyncio.get_running_loop().create_task(self._commit())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _commit(self) -> None:
        calls: list[Call] = []
        try:
            happened = await self._db.write(lambda db: self._together(db, calls))
        except Exception as failure:  # noqa: BLE001 - handed to everybody who asked
            await self._failed(calls, failure)
        else:
            self._answer(calls, happened)
        finally:
            if self._calls:
                self._send()

    def _together(self, db: apsw.Connection, calls: list[Call]) -> Happened:
        """On the writing thread."""
        self._sent = False
        while self._calls and len(calls) < _CALLS:
            calls.append(self._calls.popleft())
        return self._run(db, calls)

    async def _failed(self, calls: list[Call], failure: Exception) -> None:
        if not calls:
            # The store did not even take the work: that holds for all who wait.
            self._sent = False
            calls = list(self._calls)
            self._calls.clear()
        if isinstance(failure, Fault) or len(calls) == 1:
            for call in calls:
                if not call.answer.done():
                    call.answer.set_exception(failure)
            return
        # It was not the store: one of them asks for what cannot be done, so each is done alone.
        for call in calls:
            await self._alone(call)

    async def _alone(self, call: Call) -> None:
        try:
            happened = await self._db.write(lambda db: self._run(db, [call]))
        except Exception as failure:  # noqa: BLE001 - handed to the one who asked
            await self._failed([call], failure)
        else:
            self._answer([call], happened)

    def _answer(self, calls: Sequence[Call], happened: Happened) -> None:
        """First those who waited, then those who wait for what they did."""
        for call in calls:
            if not call.answer.done():
                call.answer.set_result(call.results)
        self._tell(happened)
