"""Which engine a server runs on: redis where an address is given, else the embedded one."""

from backstay.core.clock import Clock, Dice, Ids
from backstay.queue.settings import QueueSettings
from backstay.queue.store import ServedEngine
from backstay.queue.store.sqlite import SqliteEngine


def engine_of(settings: QueueSettings, clock: Clock, dice: Dice, ids: Ids) -> ServedEngine:
    """Not yet open (decision 6)."""
    store = settings.redis()
    if store is None:
        return SqliteEngine(settings.store, settings.rules(), clock, dice, settings.durability)
    # The client library is only paid for by those who use it.
    from backstay.queue.store.redis import RedisEngine

    return RedisEngine(store, settings.rules(), clock, dice, ids)
