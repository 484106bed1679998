"""The rows of a compiled query, out of an app's database: its file, or its PostgreSQL server.

Both are opened for reading alone, so that no query can change what the server keeps a record of.
What the database says of a statement is an ExecutionError of the query (C14); a database that is
not there, or not to be entered, is a fault of its own.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from backstay.core.errors import Fault
from backstay.core.settings import Secret
from backstay.lang.columns import Dialect
from backstay.lang.query.compile import Compiled
from backstay.lang.query.errors import EXECUTION, NO_DATABASE, NO_SUCH_DATABASE, QueryError
from backstay.lang.query.values import SqlValue

CONNECT_SECONDS = 10.0
QUERY_SECONDS = 60.0
"""A person may wait longer than a request of the server, but not for ever."""
_SESSION = {
    "application_name": "codeai query",
    "default_transaction_read_only": "on",
    "search_path": "public",
    "timezone": "UTC",
    "datestyle": "ISO",
    "statement_timeout": f"{QUERY_SECONDS * 1000:.0f}",
}


def dialect_of(database: str) -> Dialect:
    """Whose SQL a database speaks: `postgres://…`, or a file (also as `sqlite:///path`). Raises
    LANG153 for an address of another kind."""
    scheme, found, _ = database.partition("://")
    if not found or scheme == "sqlite":
        return "sqlite"
    if scheme in ("postgres", "postgresql"):
        return "postgres"
    raise Fault(NO_SUCH_DATABASE, what=f"{scheme}://")


def rows_of(made: Compiled, database: str, values: Sequence[SqlValue]) -> list[Sequence[Any]]:
    """Raises ExecutionError, LANG152 where there is no file, APP040 or APP045 where no server
    answers or lets nobody in."""
    if made.dialect == "sqlite":
        return _of_file(made, database.removeprefix("sqlite://"), values)
    import asyncio

    return asyncio.run(_of_server(made, Secret(database), values))


def _of_file(made: Compiled, path: str, values: Sequence[SqlValue]) -> list[Sequence[Any]]:
    import apsw

    if not Path(path).is_file():
        raise Fault(NO_DATABASE, path=path)
    try:
        conn = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)
        return list(conn.execute(made.sql, values))
    except apsw.Error as bad:
        raise QueryError(EXECUTION, reason=str(bad)) from bad


async def _of_server(
    made: Compiled, url: Secret, values: Sequence[SqlValue]
) -> list[Sequence[Any]]:
    from asyncpg import InterfaceError, PostgresError

    from backstay.app.store.postgres.address import Address
    from backstay.app.store.postgres.link import connect
    from backstay.app.store.postgres.meaning import fault_of

    try:
        address = Address(url)
    except ValueError as bad:
        raise Fault(NO_SUCH_DATABASE, what="an address that cannot be read") from bad
    try:
        link = await connect(address, _SESSION, CONNECT_SECONDS)
    except (PostgresError, OSError, ValueError) as bad:
        raise fault_of(bad, address.where, CONNECT_SECONDS) from bad
    try:
        return [tuple(row) for row in await link.fetch(made.sql, values)]
    except (PostgresError, InterfaceError, OSError) as bad:
        if link.closed:
            raise fault_of(bad, address.where, QUERY_SECONDS) from bad
        raise QueryError(EXECUTION, reason=str(bad)) from bad
    finally:
        await link.close(CONNECT_SECONDS)
