"""Which database the settings mean."""

from backstay.app.settings import AppSettings
from backstay.app.store.schema import runtime_schema
from backstay.app.store.session import Database
from backstay.app.store.sqlite import SqliteDatabase
from backstay.core.clock import Clock, Dice


def database_of(settings: AppSettings, clock: Clock, dice: Dice) -> Database:
    """Not opened yet. Raises APP001."""
    path = settings.store()
    if path is not None:
        return SqliteDatabase(
            path, runtime_schema(), settings.durability, settings.max_connections, clock
        )
    # Its driver is loaded only where there is a server to talk to.
    from backstay.app.store.postgres.address import Address
    from backstay.app.store.postgres.database import PostgresDatabase

    return PostgresDatabase(
        Address(settings.database_url),
        runtime_schema(),
        clock,
        dice,
        durability=settings.durability,
        connections=settings.max_connections,
        timeout=settings.database_timeout,
    )
