"""What a server knows of a store that others write to: which commands there are, which have work,
when time has work next, and what others changed.

Others tell of their changes by messages. Messages can be lost, so everything is also looked at anew
now and then: a lost message makes somebody wait for the next look, never for good.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import structlog

from backstay.core.clock import Clock
from backstay.core.service import end_tasks
from backstay.queue.store import Happened
from backstay.queue.store.lua import FORGET, PEEK, UNLIST
from backstay.queue.store.redis_calls import Calls
from backstay.queue.store.redis_layout import (
    CHANNEL,
    COMMANDS,
    POLLED,
    SERVERS,
    command_of,
    full_id,
    keys_of,
    tag_of,
)
from backstay.queue.store.redis_link import Link
from backstay.queue.store.redis_ops import HUGE, happened_of
from backstay.queue.store.redis_time import LeaseClock

_log = structlog.get_logger("queue.redis")

LOOK = 1.0
"""Seconds between two looks when other servers are there, five times that when alone."""
ALONE = 5.0
SYNC = 5.0
SILENT = 15.0
"""Seconds after which a server that is not heard of counts as gone."""
UNUSED = 86_400.0
"""Seconds after which a command without anything in it is forgotten."""
_NUDGE = 8
"""Waiting claims that one look wakes per queue: messages wake the rest, and so do they."""


class Seen(msgspec.Struct):
    """What is known of one command. `wall` and `lease` are when time has work next on either
    clock, `callbacks` when a result callback is due."""

    wall: float = HUGE
    lease: float = HUGE
    callbacks: float = HUGE
    polled: float = 0.0


class Watch:
    """Runs between `open` and `close`."""

    def __init__(
        self,
        link: Link,
        calls: Calls,
        clock: Clock,
        leases: LeaseClock,
        nonce: str,
        retention: float,
    ) -> None:
        self.work: dict[str, None] = {}
        self.seen: dict[str, Seen] = {}
        self.polled_any = 0.0
        self.tell: Callable[[Happened], None] = lambda _happened: None
        self._link = link
        self._calls = calls
        self._clock = clock
        self._leases = leases
        self._nonce = nonce
        self._retention = retention
        self._registered: dict[str, float] = {}
        self._looked_at = 0.0
        self._synced = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self._listening = asyncio.Event()
        calls.listen(self._called)

    async def open(self) -> None:
        """Returns once messages are heard and every command was looked at."""
        await self._announce()
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._look_on())]
        await self._listening.wait()
        await self.look()

    async def stop(self) -> None:
        """Look and listen no longer."""
        tasks, self._tasks = self._tasks, []
        await end_tasks(tasks)

    async def close(self) -> None:
        """Says goodbye to the other servers."""
        await self.stop()
        await self._leases.sync(self._link)
        await self._link.ask("ZREM", SERVERS, self._nonce)

    # --- what is known -----------------------------------------------------------------------

    async def register(self, tags: Iterable[str]) -> None:
        """These commands are used. It is written down before the first task of one is, so that no
        task lies where nobody looks."""
        now = self._clock.tick()
        fresh = [tag for tag in tags if now - self._registered.get(tag, -1e9) > 60.0]
        for tag in fresh:
            score = f"{self._leases.now():.6f}"
            await self._link.ask("ZADD", COMMANDS, score, command_of(tag))
            self._registered[tag] = now
            self.seen.setdefault(tag, Seen())

    async def tags(self) -> list[str]:
        """Of all commands, as the store knows them now."""
        found = [tag_of(name.decode()) for name in await self._link.ask("ZRANGE", COMMANDS, 0, -1)]
        for tag in found:
            self.seen.setdefault(tag, Seen())
        return found

    async def due(self, now: float) -> float | None:
        """Wall time at which time has work next. What seems due is looked at once more first."""
        for tag, seen in list(self.seen.items()):
            if self._next(seen, now) <= now:
                await self.peek(tag)
        next_one = min((self._next(seen, now) for seen in self.seen.values()), default=HUGE)
        return None if next_one >= HUGE else next_one

    async def due_tags(self, now: float) -> list[str]:
        """Commands in which time has work now."""
        return [tag for tag, seen in list(self.seen.items()) if self._next(seen, now) <= now]

    async def callbacks_due(self, now: float) -> float | None:
        """As `due`, for result callbacks."""
        for tag, seen in list(self.seen.items()):
            if seen.callbacks <= now:
                await self.peek(tag)
        next_one = min((seen.callbacks for seen in self.seen.values()), default=HUGE)
        return None if next_one >= HUGE else next_one

    def doubt_callbacks(self, tag: str) -> None:
        """The next one may be due at another time now: look before telling."""
        if tag in self.seen:
            self.seen[tag].callbacks = 0.0

    async def look(self) -> None:
        """At every command; tells of what a lost message would have told."""
        since, self._looked_at = self._looked_at, self._clock.now()
        for tag in await self.tags():
            happened = await self.peek(tag, since - ALONE if since else self._looked_at)
            self.tell(happened)
        self.polled_any = float(await self._link.ask("GET", POLLED) or 0.0)

    async def peek(self, tag: str, since: float = HUGE) -> Happened:
        """Look at one command: what waits in it, and what ended after the wall time `since`."""
        told = msgspec.msgpack.decode(await self._link.read(PEEK, keys_of(tag), f"{since:.6f}"))
        delayed, lease, ended, lifts, callbacks, waiting, readers, recent, polled, used = told
        command = command_of(tag)
        seen = self.seen.setdefault(tag, Seen())
        seen.wall = min(delayed, ended + self._retention if ended < HUGE else HUGE)
        seen.lease = min(lease, lifts)
        seen.callbacks = callbacks
        seen.polled = max(seen.polled, polled)
        if waiting:
            self.work.setdefault(command)
        if not used:
            await self._forget(tag, command)
        now = self._clock.now()
        return Happened(
            ready={(tenant, command): min(many, _NUDGE) for tenant, many in waiting},
            earliest=self._next(seen, now),
            ended=[full_id(each, tag) for each in recent],
            replies=frozenset(readers),
            deliveries=int(callbacks <= now),
        )

    # --- inside ------------------------------------------------------------------------------

    def _next(self, seen: Seen, now: float) -> float:
        if seen.lease >= HUGE:
            return seen.wall
        # In this order: the difference of the two is exact, their sum would not be.
        return min(seen.wall, now + (seen.lease - self._leases.now()))

    def _called(self, tag: str, told: list[Any]) -> None:
        """A call has changed something: one of this server's own, or one that another tells of."""
        now, command = self._clock.now(), command_of(tag)
        happened = happened_of(told, tag, command, now - self._leases.now())
        seen = self.seen.setdefault(tag, Seen())
        seen.wall = min(seen.wall, told[1])
        seen.lease = min(seen.lease, told[2])
        if happened.deliveries:
            seen.callbacks = min(seen.callbacks, now)
        if happened.ready:
            self.work.setdefault(command)
        self.tell(happened)

    async def _forget(self, tag: str, command: str) -> None:
        """A command that has been empty for long, so that names do not gather for ever."""
        used_at = await self._link.ask("ZSCORE", COMMANDS, command)
        before = self._leases.now() - UNUSED
        if used_at is None or float(used_at) > before:
            return
        # Another server may begin to use it at any moment: each step looks once more.
        await self._link.read(FORGET, keys_of(tag))
        if not await self._link.read(UNLIST, [COMMANDS], command, f"{before:.6f}"):
            return
        self.seen.pop(tag, None)
        self.work.pop(command, None)
        self._registered.pop(tag, None)

    async def _announce(self) -> None:
        """This server is there; count the others."""
        await self._leases.sync(self._link)
        now = self._leases.now()
        await self._link.ask("ZADD", SERVERS, f"{now:.6f}", self._nonce)
        await self._link.ask("ZREMRANGEBYSCORE", SERVERS, "-inf", f"{now - SILENT:.6f}")
        self._calls.others = int(await self._link.ask("ZCARD", SERVERS)) > 1
        self._synced = self._clock.tick()

    async def _look_on(self) -> None:
        while True:
            pace = LOOK if self._calls.others else ALONE
            # Many commands are looked at less often, so that looking is never the main work.
            await self._clock.sleep(self._clock.tick() + max(pace, 0.01 * len(self.seen)))
            try:
                if self._clock.tick() - self._synced >= SYNC:
                    await self._announce()
                await self.look()
            except Exception as failure:  # noqa: BLE001 - looking goes on whatever was met
                _log.warning("the store cannot be looked at", why=str(failure))

    async def _listen(self) -> None:
        pause = 0.1
        while True:
            try:
                listener = await self._link.listener(CHANNEL)
                try:
                    # Who is there already learns that there is somebody to tell.
                    hello = msgspec.msgpack.encode([self._nonce, ""])
                    await self._link.ask("PUBLISH", CHANNEL, hello)
                    self._listening.set()
                    pause = 0.1
                    while True:
                        self._hear(await listener.next())
                finally:
                    await listener.aclose()
            except Exception as failure:  # noqa: BLE001 - listening begins anew whatever was met
                _log.warning("messages of other servers are not heard", why=str(failure))
            self._listening.set()
            await self._clock.sleep(self._clock.tick() + pause)
            pause = min(2 * pause, 2.0)

    def _hear(self, message: bytes) -> None:
        nonce, tag, *told = msgspec.msgpack.decode(message)
        if nonce == self._nonce:
            return
        self._calls.others = True
        if tag:
            self._called(tag, told)
