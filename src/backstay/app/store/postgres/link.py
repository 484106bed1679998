"""One connection: the values of the app's columns as Python has them, and prepared statements."""

import re
from collections.abc import Iterable, Mapping
from datetime import time
from typing import Any

import asyncpg
from asyncpg.prepared_stmt import PreparedStatement

from backstay.app.store.postgres.address import Address
from backstay.app.store.session import Values

STATEMENTS = 512
"""Prepared statements that a connection keeps."""
_EPOCH = 946_684_800_000_000
"""Microseconds from 1970 to 2000, where the server begins to count."""
_MARK = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|(\?)")


class Link:
    """Belongs to one event loop."""

    def __init__(self, conn: asyncpg.Connection) -> None:
        self._conn = conn
        self._statements: dict[str, PreparedStatement] = {}
        self.status = ""

    @property
    def closed(self) -> bool:
        return bool(self._conn.is_closed())

    async def fetch(self, sql: str, values: Values) -> list[Any]:
        """The rows of one statement; `status` is its command tag afterwards."""
        statement = self._statements.get(sql) or await self._prepare(sql)
        rows: list[Any] = await statement.fetch(*values)
        self.status = statement.get_statusmsg()
        return rows

    async def fetch_many(self, sql: str, rows: Iterable[Values]) -> None:
        """One statement for each of `rows`, in as few packets as they need."""
        statement = self._statements.get(sql) or await self._prepare(sql)
        await statement.executemany(rows)

    async def script(self, sql: str) -> None:
        """Several statements without parameters in one round trip."""
        await self._conn.execute(sql)

    def forget(self) -> None:
        """Prepare everything anew: tables have changed."""
        self._statements.clear()

    def cut(self) -> None:
        """Close it without a word to the server."""
        self._conn.terminate()

    async def close(self, seconds: float) -> None:
        """Say goodbye; after `seconds` without."""
        await self._conn.close(timeout=seconds)

    async def _prepare(self, sql: str) -> PreparedStatement:
        statement = await self._conn.prepare(numbered(sql))
        if len(self._statements) >= STATEMENTS:
            del self._statements[next(iter(self._statements))]
        self._statements[sql] = statement
        return statement


async def connect(address: Address, settings: Mapping[str, str], seconds: float) -> Link:
    """Raises what asyncpg raises."""
    conn = await asyncpg.connect(
        dsn=address.url.reveal(),
        database=address.name,
        timeout=seconds,
        statement_cache_size=0,
        server_settings=dict(settings),
    )
    try:
        await _settle(conn)
    except BaseException:
        conn.terminate()
        raise
    return Link(conn)


async def _settle(conn: asyncpg.Connection) -> None:
    """The server's types are the app's storage forms (values.py)."""
    for name in ("uuid", "date", "numeric"):
        await conn.set_type_codec(
            name, schema="pg_catalog", encoder=str, decoder=str, format="text"
        )
    await conn.set_type_codec(
        "time",
        schema="pg_catalog",
        encoder=str,
        decoder=lambda text: time.fromisoformat(text).isoformat(),
        format="text",
    )
    await conn.set_type_codec(
        "timestamptz",
        schema="pg_catalog",
        encoder=lambda micros: (micros - _EPOCH,),
        decoder=lambda moment: moment[0] + _EPOCH,
        format="tuple",
    )


def numbered(sql: str) -> str:
    """Question marks as `$1`, `$2`, …; those inside quotes stay."""
    count = 0

    def mark(found: re.Match[str]) -> str:
        nonlocal count
        if found.group(1) is None:
            return found.group(0)
        count += 1
        return f"${count}"

    return _MARK.sub(mark, sql)
