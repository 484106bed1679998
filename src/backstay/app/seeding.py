"""Rows from outside, taken whole or not at all, and once per seed: first data of a new place."""

import asyncio
from collections.abc import Iterator, Sequence

import msgspec

from backstay.app.errors import BAD_SEED
from backstay.app.plan.checks import Mistake, Shape, member_shape, read_json, unknown_name
from backstay.app.plan.tables import table
from backstay.app.plan.writes import Insert, Writer
from backstay.app.service import Runtime
from backstay.app.store.session import Session
from backstay.app.values import is_many
from backstay.core.context import SYSTEM
from backstay.core.errors import Fault, Plain
from backstay.lang.program import Entity, Field, Program, RecordType


class Seeded(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many rows were stored; `already` when this seed was taken before."""

    seeded: int
    already: bool = False


class _Line(msgspec.Struct, frozen=True):
    number: int
    entity: str
    values: dict[str, object]


class Seeder:
    """Made once for a program."""

    def __init__(self, program: Program) -> None:
        self._shapes: dict[str, Shape] = {
            entity.name: member_shape(program, _record(entity)) for entity in program.entities
        }
        self._inserts: dict[str, Insert] = {
            entity.name: Writer(program, entity.name).insert() for entity in program.entities
        }

    async def take(self, runtime: Runtime, id: str, raw: bytes) -> Seeded:
        """Store all lines in one transaction. Raises APP026 with the line that is wrong.

        References have to point at lines further up (or at rows that are there).
        """
        lines = await asyncio.to_thread(lambda: list(self._lines(raw)))

        def work(conn: Session) -> Seeded:
            if conn.execute("SELECT 1 FROM backstay_seeds WHERE id = ?", (id,)).fetchone():
                return Seeded(0, already=True)
            unit = runtime.unit(conn, SYSTEM)
            for line in lines:
                try:
                    self._inserts[line.entity](unit, line.values)
                except Fault as fault:
                    raise Fault(BAD_SEED, line=line.number, reason=fault.message) from None
            row = (id, len(lines), unit.now)
            conn.execute("INSERT INTO backstay_seeds VALUES (?, ?, ?)", row)
            return Seeded(len(lines))

        return await runtime.database.write(work)

    def _lines(self, raw: bytes) -> Iterator[_Line]:
        for number, text in enumerate(raw.splitlines(), 1):
            if text.strip():
                yield self._line(number, text)

    def _line(self, number: int, text: bytes) -> _Line:
        try:
            found = read_json(text)
        except Fault as fault:
            raise Fault(BAD_SEED, line=number, reason=fault.message) from None
        if not isinstance(found, dict) or set(found) != {"entity", "values"}:
            raise Fault(BAD_SEED, line=number, reason="expected the members entity and values")
        entity = found["entity"]
        if not isinstance(entity, str) or entity not in self._shapes:
            reason = f"the entity {entity} {unknown_name(str(entity), list(self._shapes))}"
            raise Fault(BAD_SEED, line=number, reason=reason)
        mistakes: list[Mistake] = []
        values = self._shapes[entity](found["values"], "", mistakes)
        if mistakes or not isinstance(values, dict):
            told = "; ".join(f"{each.field}: {each.message}" for each in mistakes)
            raise Fault(BAD_SEED, line=number, reason=told)
        return _Line(number, entity, values)


async def counts(runtime: Runtime) -> Sequence[dict[str, Plain]]:
    """How many rows each entity has."""

    def work(conn: Session) -> list[dict[str, Plain]]:
        return [
            {
                "entity": entity.name,
                "table": entity.table,
                "rows": conn.execute(
                    f"SELECT count(*) FROM {table(runtime.program, entity.name).source()}"  # noqa: S608 - a checked name
                ).get,
            }
            for entity in runtime.program.entities
        ]

    return await runtime.database.read(work)


def _record(entity: Entity) -> RecordType:
    """A seed may give everything, also keys and times; what fills itself may be left out."""
    return RecordType(tuple(_optional(field) for field in entity.fields if not is_many(field.type)))


def _optional(field: Field) -> Field:
    if field.primary or field.auto or field.default is not None:
        return msgspec.structs.replace(field, required=False, default=None)
    return field
