"""Which cache the settings mean."""

from backstay.app.cache.responses import prefix_of
from backstay.app.cache.store import Cache, MemoryCache
from backstay.app.settings import AppSettings
from backstay.app.store.session import Database, Session
from backstay.core.clock import Clock, Ids, rfc3339
from backstay.lang.program import Program


def cache_of(settings: AppSettings, program: Program, clock: Clock, ids: Ids) -> Cache:
    """A Redis where REDIS_URL names one, else memory. Raises APP070."""
    if not settings.redis_url:
        return MemoryCache(clock)
    # The client of Redis is loaded only where there is one.
    from backstay.app.cache.shared import SharedCache

    return SharedCache(settings.redis_url, prefix_of(program), clock, ids)


class CacheService:
    """The cache as a Service: opened with the database (`place_of`), closed after everything that
    uses it."""

    name = "cache"

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    async def start(self) -> None:
        """Nothing: a cache that is not there yet keeps no app from starting."""

    def ready(self) -> bool:
        return True

    async def drain(self, seconds: float) -> None:
        """Requests that end now may still use it."""

    async def stop(self) -> None:
        await self._cache.close()


async def place_of(database: Database) -> str:
    """What tells this database from another: when it first held a program. All replicas read the
    same, under whatever address they know it."""

    def first(conn: Session) -> str:
        at: int = conn.execute("SELECT min(loaded_at) FROM backstay_programs").get
        return rfc3339(at / 1e6)

    return await database.read(first)
