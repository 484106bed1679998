"""The app on PostgreSQL: transactions of plain functions over a few connections (decision 30).

A write is serializable, and done anew when the server says that it must be. What happens to a
connection before the commit leaves nothing behind, so the work is done again on another one; what
happens during the commit is unknown, said so, and never repeated here.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from backstay.app.store.dialect import Dialect
from backstay.app.store.errors import CONTENDED, IN_DOUBT, NO_COPY, SLOW, UNFIT
from backstay.app.store.postgres.address import Address
from backstay.app.store.postgres.blocking import blockers
from backstay.app.store.postgres.connections import Connections
from backstay.app.store.postgres.dialect import POSTGRES
from backstay.app.store.postgres.link import Link, connect
from backstay.app.store.postgres.meaning import (
    STALE,
    Again,
    Broken,
    fault_of,
    trouble_of,
)
from backstay.app.store.postgres.schema import bring_up
from backstay.app.store.postgres.session import PostgresSession, in_greenlet
from backstay.app.store.session import DatabaseStats, PoolStats, Session, StoreTrouble
from backstay.core.backoff import Backoff
from backstay.core.clock import Clock, Dice
from backstay.core.errors import Fault, Plain
from backstay.core.sqlite import Durability, Schema

T = TypeVar("T")
Work = Callable[[Session], T]

REPEATS = 10
"""How often work is done when other work is in its way."""
ALONE = 0x6261636B73746179
"""The advisory lock of work that is `alone`; the app's databases have no other use for them."""
_RECONNECTS = 3
_PAUSES = Backoff("exp_full_jitter", base=0.002, cap=0.1)
_LOCK = f"SELECT pg_advisory_lock({ALONE})"
_UNLOCK = f"SELECT pg_advisory_unlock({ALONE})"
_PATIENT_SESSION = "SET statement_timeout = 0"
_PATIENT = "SET LOCAL statement_timeout = 0"
_WRITE = "BEGIN ISOLATION LEVEL SERIALIZABLE"
_SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_OLDEST = 13
_GRACE = 2.0


class PostgresDatabase:
    """A Database. `timeout` bounds a transaction, `wait` the wait for a connection, in seconds."""

    dialect: Dialect = POSTGRES

    def __init__(
        self,
        address: Address,
        schema: Schema,
        clock: Clock,
        dice: Dice,
        *,
        durability: Durability = "power",
        connections: int = 25,
        timeout: float = 10.0,
        wait: float = 5.0,
    ) -> None:
        self.address = address
        self._schema = schema
        self._clock = clock
        self._dice = dice
        self._timeout = timeout
        self._settings = {
            "application_name": "codeai",
            "search_path": "public",
            "timezone": "UTC",
            "datestyle": "ISO",
            "jit": "off",
            "statement_timeout": f"{timeout * 1000:.0f}",
            "idle_in_transaction_session_timeout": f"{(timeout + _GRACE) * 2000:.0f}",
            "synchronous_commit": "on" if durability == "power" else "off",
        }
        self._connections = Connections(self._connect, connections, wait)
        self._ping_link: Link | None = None
        self._turn = asyncio.Lock()
        self._commits = self._repeats = 0
        self._commit_seconds = 0.0

    @property
    def where(self) -> str:
        return self.address.where

    async def open(self) -> None:
        """Raises APP040 or APP045 to APP048."""
        link = await self._connections.take()
        try:
            await self._check(link)
        finally:
            self._connections.give(link)
        await self.alter(lambda session: bring_up(session, self._schema, self.where))

    async def read(self, work: Work[T], /, *, snapshot: bool = False, brief: bool = False) -> T:  # noqa: ARG002 - all work waits for the server
        begin = _SNAPSHOT if snapshot else ""
        return await self._kept_up(lambda link: self._run(link, work, begin))

    async def write(self, work: Work[T], /, *, alone: bool = False) -> T:
        if not alone:
            return await self._kept_up(lambda link: self._run(link, work, _WRITE))
        async with self._turn:  # one of this process at a time waits for the other processes
            return await self._kept_up(lambda link: self._run_alone(link, work, patient=False))

    async def alter(self, work: Work[T], /) -> T:
        async with self._turn:
            return await self._kept_up(lambda link: self._run_alone(link, work, patient=True))

    async def ping(self) -> None:
        """On a connection of its own: it speaks of the server, not of who else is at work."""
        link, self._ping_link = self._ping_link, None
        try:
            if link is None or link.closed:
                link = await self._connect()
            await link.script("SELECT 1")
        except BaseException as failure:
            if link is not None:
                link.cut()
            if isinstance(failure, Exception) and not isinstance(failure, Fault):
                raise fault_of(failure, self.where, self._timeout) from failure
            raise
        self._ping_link = link

    async def blockers(self) -> list[dict[str, Plain]]:
        """On a new connection: those of the pool may all be waiting."""
        link = await self._connect()
        try:
            return await blockers(link)
        except Exception as failure:
            raise fault_of(failure, self.where, self._timeout) from failure
        finally:
            link.cut()

    async def backup(self, target: Path, /) -> None:
        """Raises APP049: the server's own tools do it better, and without stopping anything."""
        raise Fault(NO_COPY, where=self.where, target=str(target))

    async def copy_before(self, label: str, /) -> str:  # noqa: ARG002 - Database's signature
        """None: a migration is one transaction here."""
        return ""

    def whereabouts(self) -> dict[str, Plain]:
        return {"address": self.where}

    def stats(self) -> DatabaseStats:
        return DatabaseStats(self._commits, self._commit_seconds, self._repeats)

    def pool(self) -> PoolStats:
        return self._connections.stats()

    async def close(self) -> None:
        if self._ping_link is not None:
            self._ping_link.cut()
        await self._connections.close(_GRACE)

    # --- one transaction ---

    async def _kept_up(self, attempt: Callable[[Link], Awaitable[T]]) -> T:
        """Do it on a connection, and again where nothing of it stands."""
        repeats = losses = 0
        while True:
            link = await self._connections.take()
            try:
                return await attempt(link)
            except Again as again:
                if isinstance(again.__cause__, STALE):
                    link.forget()
                repeats += 1
                if repeats >= REPEATS:
                    raise Fault(CONTENDED, times=repeats) from again
            except Broken as broken:
                link.cut()
                losses += 1
                if losses >= _RECONNECTS:
                    raise self._fault(broken) from broken
                if losses > 1:
                    self._connections.drop_idle()
            except StoreTrouble as trouble:
                raise self._fault(trouble) from trouble
            finally:
                self._connections.give(link)
            self._repeats += 1
            await self._clock.sleep(self._clock.tick() + _PAUSES.delay(repeats, self._dice))

    async def _run(self, link: Link, work: Work[T], begin: str, *, patient: bool = False) -> T:
        """One transaction. Whatever comes out of it, the connection is in none afterwards, or it
        is cut."""
        session = PostgresSession(link, f"{begin}; {_PATIENT}" if patient else begin)
        try:
            async with asyncio.timeout(None if patient else self._timeout + _GRACE):
                made = await in_greenlet(work, session)
        except TimeoutError:
            link.cut()
            raise Fault(SLOW, seconds=f"{self._timeout:g}") from None
        except Exception:
            if session.begun and begin:
                await self._said(link, "ROLLBACK")
            raise
        except BaseException:
            link.cut()
            raise
        if session.begun and begin:
            await self._commit(link, session)
        session.committed()
        return made

    async def _run_alone(self, link: Link, work: Work[T], *, patient: bool) -> T:
        # Before the transaction begins: a snapshot taken while it waits would be too old.
        await self._said(link, f"{_PATIENT_SESSION}; {_LOCK}" if patient else _LOCK)
        try:
            return await self._run(link, work, _WRITE, patient=patient)
        finally:
            if not link.closed:
                await self._said(
                    link, f"{_UNLOCK}; RESET statement_timeout" if patient else _UNLOCK
                )

    async def _commit(self, link: Link, session: PostgresSession) -> None:
        began = self._clock.tick()
        try:
            async with asyncio.timeout(self._timeout + _GRACE):
                await link.script(session.closing("COMMIT"))
        except Exception as failure:
            trouble = trouble_of(failure)
            if isinstance(trouble, Broken) or isinstance(failure, TimeoutError):
                link.cut()
                raise Fault(IN_DOUBT) from failure
            raise trouble from failure
        except BaseException:
            link.cut()
            raise
        self._commits += 1
        self._commit_seconds += self._clock.tick() - began

    async def _said(self, link: Link, command: str) -> None:
        try:
            await link.script(command)
        except Exception as failure:
            raise trouble_of(failure) from failure
        except BaseException:
            link.cut()
            raise

    async def _connect(self) -> Link:
        try:
            return await connect(self.address, self._settings, self._timeout)
        except Exception as failure:
            raise fault_of(failure, self.where, self._timeout) from failure

    async def _check(self, link: Link) -> None:
        rows = await link.fetch(
            "SELECT current_setting('server_version_num')::bigint,"
            " current_setting('server_encoding')",
            (),
        )
        version, encoding = rows[0]
        if version < _OLDEST * 10_000:
            raise Fault(UNFIT, where=self.where, reason=f"its version is {version // 10_000}")
        if encoding != "UTF8":
            raise Fault(UNFIT, where=self.where, reason=f"its encoding is {encoding}")

    def _fault(self, trouble: StoreTrouble) -> Fault:
        return fault_of(trouble.__cause__, self.where, self._timeout)
