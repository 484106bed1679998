"""Who waits for work, for a result or for outcomes. They are woken, never polled.

A waiting claim that is woken claims again; when it leaves with a wake-up it did not use, the next
one in the row gets it, so that no arrival is slept through.
"""

import asyncio
from collections.abc import Hashable, Iterable

from backstay.core.clock import Clock
from backstay.queue.model import ANY_TENANT

ANY_COMMAND = ""


class Bell:
    """Rings until it is cleared."""

    __slots__ = ("_rung", "waiting")

    def __init__(self) -> None:
        self._rung = False
        self.waiting: asyncio.Future[None] | None = None

    def set(self) -> None:
        """Ring."""
        self._rung = True
        if self.waiting is not None:
            _resolve(self.waiting)

    def clear(self) -> None:
        """What rings from now on is news."""
        self._rung = False

    def is_set(self) -> bool:
        return self._rung


class Waiter:
    """One waiting claim. `rung` is the (tenant, command) it was woken for."""

    __slots__ = ("bell", "commands", "rung", "tenants")

    def __init__(self, commands: tuple[str, ...], tenants: tuple[str, ...]) -> None:
        self.commands = commands or (ANY_COMMAND,)
        self.tenants = tenants
        self.rung: tuple[str, str] | None = None
        self.bell = Bell()

    def serves(self, tenant: str) -> bool:
        return not self.tenants or tenant in self.tenants

    def hush(self) -> tuple[str, str] | None:
        """About to look for work itself: what rings from now on is news. Gives what it was woken
        for until now."""
        rung, self.rung = self.rung, None
        self.bell.clear()
        return rung


class Waiters:
    """The registry of waiting claims, per command in the order of their arrival."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[Waiter, None]] = {}

    def stand(self, commands: tuple[str, ...], tenants: tuple[str, ...]) -> Waiter:
        """Enter the rows of these commands (none: any command)."""
        waiter = Waiter(commands, tenants)
        for command in waiter.commands:
            self._rows.setdefault(command, {})[waiter] = None
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """Leave all rows; an unused wake-up goes on to the next."""
        for command in waiter.commands:
            row = self._rows.get(command, {})
            row.pop(waiter, None)
            if not row:
                self._rows.pop(command, None)
        if waiter.rung is not None:
            self.wake(*waiter.rung, 1)

    def wake(self, tenant: str, command: str, count: int) -> None:
        """As many as there are new tasks, those who named the command first."""
        for waiter in self._candidates(command):
            if count <= 0:
                return
            if waiter.rung is None and waiter.serves(tenant):
                waiter.rung = (tenant, command)
                waiter.bell.set()
                count -= 1

    def wake_all(self) -> None:
        """The process drains: nobody need wait on."""
        for row in self._rows.values():
            for waiter in row:
                waiter.bell.set()

    def count(self, command: str, tenant: str = ANY_TENANT) -> int:
        """How many wait for this command and would be given a task of `tenant`, claims of any
        command included."""
        rows = (self._rows.get(command, ()), self._rows.get(ANY_COMMAND, ()))
        if tenant == ANY_TENANT:
            return sum(map(len, rows))
        return sum(waiter.serves(tenant) for row in rows for waiter in row)

    def commands(self) -> set[str]:
        """Commands somebody waits for by name."""
        return {command for command in self._rows if command != ANY_COMMAND}

    def _candidates(self, command: str) -> Iterable[Waiter]:
        yield from list(self._rows.get(command, ()))
        yield from list(self._rows.get(ANY_COMMAND, ()))


class Bells:
    """Everybody who waits for one thing, by its name: a task's end, a reader's outcomes."""

    def __init__(self) -> None:
        self._hung: dict[Hashable, set[Bell]] = {}

    def __len__(self) -> int:
        """How many things somebody waits for."""
        return len(self._hung)

    def hang(self, name: Hashable) -> Bell:
        """A bell that rings at the next `ring(name)`; take it down with `unhang`."""
        bell = Bell()
        self._hung.setdefault(name, set()).add(bell)
        return bell

    def unhang(self, name: Hashable, bell: Bell) -> None:
        hung = self._hung.get(name, set())
        hung.discard(bell)
        if not hung:
            self._hung.pop(name, None)

    def ring(self, name: Hashable) -> None:
        for bell in self._hung.get(name, ()):
            bell.set()

    def ring_all(self) -> None:
        for hung in self._hung.values():
            for bell in hung:
                bell.set()


async def heard(bell: Bell, clock: Clock, until: float) -> bool:
    """Whether the bell rang before the tick `until`. One waits for a bell at a time."""
    if bell.is_set() or until <= clock.tick():
        return bell.is_set()
    # Thousands wait at once: one future and one task each, and nothing that goes round.
    waiting = bell.waiting = asyncio.get_running_loop().create_future()
    timer = asyncio.ensure_future(clock.sleep(until))
    timer.add_done_callback(lambda _: _resolve(waiting))
    try:
        await waiting
    finally:
        timer.cancel()
        bell.waiting = None
    return bell.is_set()


def _resolve(waiting: "asyncio.Future[None]") -> None:
    if not waiting.done():
        waiting.set_result(None)
