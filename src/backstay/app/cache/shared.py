"""The cache in a Redis, which all replicas share.

A stamp there is a fresh id for each write, never a counter: a stamp that was evicted and begins
anew must not meet a value of its former life.

Redis may be lost at any moment. Then every answer comes from the database, and what was written
meanwhile is not known to Redis: so when it is back, *everything* is spoiled before anything is
looked up again. The same at the start: a process that died may have committed a write that it
could not tell.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import structlog
from redis import exceptions as redis_errors
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from backstay.app.cache.errors import BAD_REDIS_URL
from backstay.app.cache.store import EVERYTHING, PING, Found, reason_of
from backstay.core.clock import Clock, Ids
from backstay.core.errors import Fault, Plain
from backstay.core.settings import Secret

_log = structlog.get_logger("app.cache")

PATIENCE = 0.25
"""Seconds that a request waits for the cache before it asks the database."""
_AGAIN = 0.5
"""Seconds between two tries to reach a Redis that is lost."""

_AWAY = (redis_errors.RedisError, OSError, TimeoutError)


class SharedCache:
    """A Cache and a Loop, which looks for a Redis that is lost. `url` is redis://, rediss:// or
    unix://. Raises APP070 for any other."""

    name = "cache-keeper"

    def __init__(self, url: Secret, prefix: str, clock: Clock, ids: Ids, pool: int = 32) -> None:
        self._clock, self._ids = clock, ids
        self._prefix = prefix
        self._away = "not reached yet"
        self._why = "gone"
        self._opened = False
        self._untold = 0
        self._lost = 0
        self.wake = asyncio.Event()
        try:
            # A wait is bounded here, by the clock of the process, and never repeated by the client.
            self._redis: Any = Redis.from_url(
                url.reveal(),
                max_connections=pool,
                retry=Retry(NoBackoff(), 0),
                socket_connect_timeout=PING,
            )
        except ValueError as bad:
            raise Fault(BAD_REDIS_URL, reason=str(bad)) from bad
        known = self._redis.connection_pool.connection_kwargs
        self.where = str(known.get("path") or f"{known.get('host')}:{known.get('port', 6379)}")

    async def open(self, place: str) -> None:
        """Reach it if it can be reached at once; the loop goes on trying."""
        self._prefix = f"{self._prefix}{place}:"
        self._opened = True
        await self._reach()
        if self._away:
            _log.warning("cache lost, reading the database", address=self.where, error=self._away)
        self.wake.set()

    async def step(self) -> float | None:
        """Look for a lost Redis; asleep while it answers."""
        if not self._opened:
            return None
        if self._away:
            await self._reach()
        return self._clock.tick() + _AGAIN if self._away else None

    async def look(self, key: str, tables: Sequence[str]) -> Found:
        if self._away:
            return Found()
        stamps = [self._stamp(name) for name in (EVERYTHING, *tables)]
        found = await self._ask("MGET", f"{self._prefix}v:{key}", *stamps)
        if found is None:
            return Found()
        kept, *versions = found
        if None in versions:
            return await self._begin(stamps, versions)
        stamp = b",".join(versions)
        if kept is None:
            return Found(stamp.decode())
        of, _, value = kept.partition(b"\n")
        return Found(stamp.decode(), value if of == stamp else None)

    async def put(self, key: str, stamp: str, value: bytes, seconds: float) -> None:
        if not self._away and stamp:
            kept = stamp.encode() + b"\n" + value
            await self._ask("SET", f"{self._prefix}v:{key}", kept, "PX", max(1, int(seconds * 1e3)))

    async def spoil(self, tables: Sequence[str]) -> None:
        # Counted first: who reaches Redis again meanwhile has to see that there is more to tell.
        self._untold += 1
        if self._away:
            return
        fresh = self._ids.new()
        words = [word for name in tables for word in (self._stamp(name), fresh)]
        if await self._ask("MSET", *words) is None:
            self._untold += 1

    async def ping(self) -> None:
        async with asyncio.timeout(PING):
            await self._redis.ping()

    def facts(self) -> dict[str, Plain]:
        return {
            "kind": "redis",
            "address": self.where,
            "away": self._away,
            "why": self._why if self._away else "",
            "lost_times": self._lost,
        }

    async def close(self) -> None:
        await self._redis.aclose()

    # --- there and away ---

    async def _reach(self) -> None:
        """Spoil everything, and again until no write has gone by untold."""
        while True:
            untold = self._untold
            try:
                async with asyncio.timeout(PING):
                    await self._redis.set(self._stamp(EVERYTHING), self._ids.new())
            except _AWAY as failure:
                self._away, self._why = reason_of(failure), _why(failure)
                return
            if untold == self._untold:
                break
        _log.info("cache is there", address=self.where, lost_times=self._lost)
        self._away = ""

    async def _ask(self, *words: Any) -> Any:
        """The answer; None when there was none in time, which is the last question for a while."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._redis.execute_command(*words)
        except _AWAY as failure:
            self._lose(failure)
            return None

    def _lose(self, failure: Exception) -> None:
        if self._away:
            return
        self._lost += 1
        self._away, self._why = reason_of(failure), _why(failure)
        _log.warning("cache lost, reading the database", address=self.where, error=self._away)
        self.wake.set()

    async def _begin(self, stamps: list[str], versions: list[bytes | None]) -> Found:
        """Stamps that are not there are made, and nothing is kept this time."""
        for name, version in zip(stamps, versions, strict=True):
            if version is None:
                await self._ask("SET", name, self._ids.new(), "NX")
        return Found()

    def _stamp(self, table: str) -> str:
        return f"{self._prefix}t:{table}"


def _why(failure: Exception) -> str:
    """late, full, denied or gone."""
    if isinstance(failure, redis_errors.OutOfMemoryError):
        return "full"
    if isinstance(failure, redis_errors.AuthenticationError | redis_errors.NoPermissionError):
        return "denied"
    return "late" if isinstance(failure, TimeoutError | redis_errors.TimeoutError) else "gone"
