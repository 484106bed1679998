"""Which database the settings mean, and what the program says of it."""

from collections.abc import Mapping

import msgspec

from backstay.app.errors import UNFIT
from backstay.app.settings import AppSettings
from backstay.app.store.schema import runtime_schema
from backstay.app.store.session import Database
from backstay.app.store.sqlite import SqliteDatabase
from backstay.core.clock import Clock, Dice
from backstay.core.errors import Fault
from backstay.core.settings import Loaded
from backstay.lang.program import Constant, Expr, Program

_KINDS = ("postgres", "postgresql", "sqlite", "")
_MEMBERS: Mapping[str, tuple[str, str]] = {
    "pool_size": ("max_connections", "write pool_size: 10, from 2 to 500"),
    "timeout": ("database_timeout", "write timeout: 30s"),
}


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


def told(loaded: Loaded[AppSettings], program: Program) -> AppSettings:
    """The settings, and where they say nothing what the program does:
    `config { database: postgres { pool_size: 10, timeout: 30s } }`. Which database it is, is the
    installation's to say. Raises APP005."""
    given = dict(program.settings).get("database")
    if given is None:
        return loaded.settings
    if given.label not in _KINDS:
        instead = "leave it out: DATABASE_URL names a file of SQLite or a PostgreSQL"
        raise _unfit(f"there is no database {given.label}", instead)
    said = {each.name for each in loaded.values if each.source != "default"}
    made: dict[str, object] = {}
    for member, expr in given.values:
        if member not in _MEMBERS:
            problem = f"'{member}' is nothing that it knows"
            raise _unfit(problem, "it knows pool_size and timeout; DATABASE_URL names the rest")
        field, fix = _MEMBERS[member]
        value = _number(expr)
        if value is None or value <= 0 or (member == "pool_size" and not 2 <= value <= 500):
            raise _unfit(f"{member} is no such number", fix)
        if field not in said:
            made[field] = int(value) if member == "pool_size" else float(value)
    return msgspec.structs.replace(loaded.settings, **made)


def _number(expr: Expr) -> float | None:
    value = expr.value if isinstance(expr, Constant) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _unfit(problem: str, instead: str) -> Fault:
    return Fault(UNFIT, where="config: database", problem=problem, instead=instead)
