"""Whether the cache answers: the check `cache`, and what the doctor may ask about it."""

import structlog

from backstay.app.cache.store import PING, Cache, reason_of
from backstay.core.clock import Clock
from backstay.core.errors import Plain
from backstay.core.health import Check, Finding

_log = structlog.get_logger("app.cache")


class CacheHealth:
    """Not critical: without the cache everything is answered by the database, only slower."""

    def __init__(self, cache: Cache, clock: Clock) -> None:
        self._cache = cache
        self._clock = clock

    def check(self) -> Check:
        """A ping with a second's time (seed C15)."""
        return Check("cache", critical=False, deadline=PING + 0.5, every=2.0, run=self.find)

    async def find(self) -> Finding:
        """A failure is logged as `cache ping failed`."""
        try:
            await self._cache.ping()
        except Exception as failure:  # noqa: BLE001 - a broken cache is a finding
            error = reason_of(failure)
            _log.error("cache ping failed", error=error)
            return Finding("fail", self._cache.facts(), error)
        return Finding("pass", self._cache.facts())

    async def probe(self) -> dict[str, Plain]:
        """Facts for the doctor. `reading` is ok, late or gone."""
        facts: dict[str, Plain] = {"error": "", "reading": "ok"}
        began = self._clock.tick()
        try:
            await self._cache.ping()
        except TimeoutError as failure:
            facts |= {"reading": "late", "error": reason_of(failure)}
        except Exception as failure:  # noqa: BLE001 - a broken cache is a reading
            facts |= {"reading": "gone", "error": reason_of(failure)}
        facts["seconds"] = round(self._clock.tick() - began, 6)
        return facts | self._cache.facts()
