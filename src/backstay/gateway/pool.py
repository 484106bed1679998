"""A bounded set of connections to one upstream, with a bounded and fair wait for one.

Last used, first taken: a quiet hour lets the surplus age out. Nobody waits without a timer.
"""

import asyncio
from collections import deque

import msgspec
import structlog

from backstay.core.server import Listen
from backstay.gateway.upstream import Taker, UpstreamConnection

_log = structlog.get_logger("gateway.pool")


class PoolBusyError(Exception):
    """All connections are in use and the wait for one ended."""


class PoolLimits(msgspec.Struct, frozen=True):
    """`wait`, `connect` and `max_idle` in seconds, `max_head` in bytes."""

    size: int = 128
    wait: float = 1.0
    connect: float = 2.0
    max_idle: float = 15.0
    max_head: int = 65_536


class _Waiter:
    __slots__ = ("connecting", "taker", "timer")

    def __init__(self, taker: Taker) -> None:
        self.taker = taker
        self.connecting = False
        self.timer: asyncio.TimerHandle | None = None


class Pool:
    """Hands out connections; every one it made is in `idle`, with a taker, or being made."""

    def __init__(self, name: str, address: Listen, limits: PoolLimits) -> None:
        self.name = name
        self.address = address
        self.limits = limits
        self.max_head = limits.max_head
        self.connects = 0
        self._loop = asyncio.get_running_loop()
        self._idle: list[UpstreamConnection] = []
        self._all: set[UpstreamConnection] = set()
        self._making: set[asyncio.Task[None]] = set()
        self._waiters: deque[_Waiter] = deque()
        self._closed = False

    @property
    def idle(self) -> int:
        return len(self._idle)

    @property
    def in_use(self) -> int:
        """Connections with a request on them."""
        return len(self._all) - len(self._idle)

    @property
    def connecting(self) -> int:
        return len(self._making)

    @property
    def waiting(self) -> int:
        return len(self._waiters)

    def acquire(self, taker: Taker, *, fresh: bool = False) -> None:
        """Give `taker` a connection, now or later (`connected`), or tell it why not (`refused`).

        `fresh`: not one that was used before, as after a reused one had died.
        """
        while self._idle:
            connection = self._idle.pop()
            if fresh or self._stale(connection):
                connection.abort()
                continue
            taker.connected(connection)
            return
        waiter = _Waiter(taker)
        self._waiters.append(waiter)
        self._pump()
        if waiter in self._waiters:
            limits = self.limits
            wait = limits.wait + (limits.connect if waiter.connecting else 0.0)
            waiter.timer = self._loop.call_later(wait, self._expire, waiter)

    def give_up(self, taker: Taker) -> bool:
        """The taker wants no connection any more; its attempt becomes somebody else's.

        Says whether one was being made for it.
        """
        for waiter in self._waiters:
            if waiter.taker is taker:
                self._drop(waiter)
                return waiter.connecting
        return False

    def release(self, connection: UpstreamConnection, *, reusable: bool) -> None:
        """Take a connection back after its answer was whole."""
        if not reusable or self._closed or not connection.alive:
            connection.abort()
        else:
            connection.hold(on=False)
            self._offer(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        """The connection is gone; its place is free."""
        if connection in self._all:
            self._all.discard(connection)
            if connection in self._idle:
                self._idle.remove(connection)
            self._pump()

    def prune(self) -> None:
        """Close what was idle for too long."""
        for connection in [one for one in self._idle if self._stale(one)]:
            connection.abort()

    def close(self) -> None:
        """Close everything; whoever waits is told that the pool is busy."""
        self._closed = True
        for task in self._making:
            task.cancel()
        for connection in list(self._all):
            connection.abort()
        for waiter in list(self._waiters):
            self._expire(waiter)

    def _offer(self, connection: UpstreamConnection) -> None:
        if self._waiters:
            waiter = self._waiters[0]
            self._drop(waiter)
            waiter.taker.connected(connection)
        else:
            connection.idle_since = self._loop.time()
            self._idle.append(connection)

    def _pump(self) -> None:
        """Start a connection for each waiter that has none under way, as far as there is room."""
        for waiter in self._waiters:
            if self._closed or len(self._all) + len(self._making) >= self.limits.size:
                return
            if not waiter.connecting:
                waiter.connecting = True
                task = self._loop.create_task(self._make(waiter), name=f"connect:{self.name}")
                self._making.add(task)
                task.add_done_callback(self._making.discard)

    async def _make(self, waiter: _Waiter) -> None:
        failure: Exception
        try:
            async with asyncio.timeout(self.limits.connect):
                connection = await self._connect()
        except (OSError, TimeoutError) as failed:
            failure = failed
        else:
            self._made(connection)
            return
        self._unmade()
        if waiter in self._waiters:
            self._drop(waiter)
            waiter.taker.refused(failure)
        self._pump()

    def _made(self, connection: UpstreamConnection) -> None:
        self._unmade()
        self.connects += 1
        if not connection.alive:
            self._pump()
            return
        self._all.add(connection)
        if self._closed:
            connection.abort()
        else:
            self._offer(connection)

    def _unmade(self) -> None:
        # The place is free from now on, not only once the task's callbacks have run.
        task = asyncio.current_task()
        if task is not None:
            self._making.discard(task)

    async def _connect(self) -> UpstreamConnection:
        where = self.address
        if where.path is not None:
            _, made = await self._loop.create_unix_connection(
                lambda: UpstreamConnection(self), str(where.path)
            )
        else:
            _, made = await self._loop.create_connection(
                lambda: UpstreamConnection(self), where.host, where.port
            )
        return made

    def _drop(self, waiter: _Waiter) -> None:
        self._waiters.remove(waiter)
        if waiter.timer:
            waiter.timer.cancel()

    def _expire(self, waiter: _Waiter) -> None:
        if waiter not in self._waiters:
            return
        self._drop(waiter)
        if waiter.connecting and not self._closed:
            waiter.taker.refused(TimeoutError())
        else:
            waiter.taker.refused(PoolBusyError())

    def _stale(self, connection: UpstreamConnection) -> bool:
        idle = self._loop.time() - connection.idle_since
        return not connection.alive or idle > self.limits.max_idle
