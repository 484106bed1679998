"""Migrations from outside a server: what would be done, done, or taken back."""

from collections.abc import Mapping, Sequence
from typing import Self

import msgspec

from backstay.app.errors import MIGRATION_REFUSED
from backstay.app.plan.unit import Unit
from backstay.app.settings import AppSettings
from backstay.app.store import migrate, programs
from backstay.app.store.aim import aim
from backstay.app.store.choose import database_of
from backstay.app.store.differences import Change
from backstay.app.store.session import Database, Session
from backstay.app.values import micros
from backstay.core.clock import Clock, Dice, Ids
from backstay.core.errors import Fault
from backstay.lang.program import Program


class Plan(msgspec.Struct, frozen=True):
    """`applied` says whether it was done; `copy` is where the stored data was kept before."""

    where: str
    changes: Sequence[Change]
    applied: bool = False
    copy: str = ""


class Migrator:
    """Opens the database of the settings, for one command."""

    def __init__(
        self,
        settings: AppSettings,
        program: Program,
        env: Mapping[str, str | None],
        clock: Clock,
        ids: Ids,
        dice: Dice,
    ) -> None:
        self._database: Database = database_of(settings, clock, dice)
        self._program = aim(program, self._database.dialect)
        self._env, self._clock, self._ids = env, clock, ids

    async def __aenter__(self) -> Self:
        await self._database.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._database.close()

    async def plan(self) -> Plan:
        """What would be done."""
        changes = await self._database.read(self._planned, snapshot=True)
        return Plan(self._database.where, changes)

    async def apply(self, *, everything: bool) -> Plan:
        """Do it. Without `everything` only what touches nothing stored: raises APP003."""
        stored = await self._database.read(lambda conn: bool(migrate.stored_shape(conn)))
        plan = await self.plan()
        if not plan.changes:
            return plan
        copy = await self._database.copy_before(self._program.hash[:12]) if stored else ""

        def work(conn: Session) -> list[Change]:
            changes = self._planned(conn)
            fresh = not migrate.stored_shape(conn)
            if not fresh and not everything and any(each.risk != "safe" for each in changes):
                says = "; ".join(change.says for change in changes)
                where, sql = self._database.where, migrate.script(changes)
                raise Fault(MIGRATION_REFUSED, where=where, differences=says, sql=sql)
            unit = self._unit(conn)
            migrate.apply(conn, self._program, unit, changes)
            programs.remember(conn, self._program, unit.now)
            return changes

        changes = await self._database.alter(work)
        return Plan(self._database.where, changes, applied=True, copy=copy)

    async def roll_back(self) -> list[str]:
        """Take the last one back; what was run."""
        return await self._database.alter(migrate.roll_back)

    def _planned(self, conn: Session) -> list[Change]:
        return migrate.planned(conn, self._program, self._unit(conn))

    def _unit(self, conn: Session) -> Unit:
        return Unit(conn, micros(self._clock.now()), self._ids, self._env)
