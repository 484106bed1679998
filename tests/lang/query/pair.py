"""One program's tables on SQLite and on a real PostgreSQL, with the same rows in both.

The tables are made from the contract in `lang.columns`, the rows go in through the language's
own update: what is compared is what a store would have.
"""

import asyncio
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import apsw
import asyncpg
from tests.servers import postgres

from backstay.cli.codeai_query import answered
from backstay.lang.api import check_text
from backstay.lang.columns import Dialect, column
from backstay.lang.program import Entity, ManyType, Program, ScalarType
from backstay.lang.query.compile import Compiled
from backstay.lang.query.compile import compile as compile_query
from backstay.lang.query.stored import DELETED_AT

T = TypeVar("T")

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()

SOURCE = """
entity Owner {
  id: uuid, primary, auto
  name: string, required
}

entity Shelf {
  id: uuid, primary, auto
  label: string, required
  owner: ref(Owner)
  items: list(Item), via(shelf)
  soft_delete
}

entity Item {
  id: uuid, primary, auto
  shelf: ref(Shelf)
  name: string, searchable
  note: text, searchable
  stock: int
  price: decimal(10, 2)
  rate: decimal(6, 4)
  weight: float
  sold: bool
  state: enum(open, closed, Lost)
  seen: timestamp
  day: date
  clock: time
  wait: duration
  tags: list(string)
  sizes: list(int)
  meta: json
  parts: list(Part), via(item)
}

entity Part {
  id: int, primary
  item: ref(Item)
  name: string
  cost: decimal(8, 3)
  made: timestamp
}
"""
NAMES = ("apple", "Apple", "äpfel", "a_b", "a%b", "back\\slash", "it's", "", "[x]*?", None)
NOTES = (None, "The quick brown fox", "a quikc fox", "Brown bread", "order 5% off")
TIMES = ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000001Z", "1969-12-31T23:59:59.5Z", None)
METAS: tuple[object, ...] = (
    None,
    {"color": "red", "size": 1},
    {"color": ["red", "blue"], "size": 1.5},
    [1, "red", True],
    "red",
    7,
    {},
)


def key(number: int) -> str:
    return f"00000000-0000-7000-8000-{number:012x}"


def rows() -> Iterator[dict[str, object]]:
    """The items, one dictionary each."""
    for number in range(40):
        yield {
            "id": key(number),
            "shelf": key(1000 + number % 3) if number % 5 else None,
            "name": NAMES[number % len(NAMES)],
            "note": NOTES[number % len(NOTES)],
            "stock": None if number % 7 == 3 else number * 3 % 11 - 4,
            "price": None if number % 6 == 5 else Decimal(number * 37 % 500 - 100).scaleb(-2),
            "rate": None if number % 8 == 1 else Decimal(number * 317 % 9999).scaleb(-4),
            "weight": None if number % 9 == 8 else number / 4 - 2,
            "sold": (True, False, None)[number % 3],
            "state": ("open", "closed", "Lost", None)[number % 4],
            "seen": TIMES[number % 4],
            "day": ("2026-03-01", "2025-12-31", None)[number % 3],
            "clock": ("12:30:00", "00:00:00.5", None)[number % 3],
            "wait": None if number % 4 == 1 else number * 1.5,
            "tags": (["a", "b"], [], None, ["b", "it's"])[number % 4],
            "sizes": ([1, 2], [2], None)[number % 3],
            "meta": METAS[number % len(METAS)],
        }


def _others() -> Iterator[tuple[str, dict[str, object]]]:
    for number in range(2):
        yield "Owner", {"id": key(2000 + number), "name": f"owner {number}"}
    for number in range(3):
        owner = key(2000 + number) if number < 2 else None
        yield "Shelf", {"id": key(1000 + number), "label": f"shelf {number}", "owner": owner}
    for number in range(25):
        yield (
            "Part",
            {
                "id": number,
                "item": key(number * 3 % 20),
                "name": ("bolt", "nut", None)[number % 3],
                "cost": Decimal(number * 411 % 3000).scaleb(-3),
                "made": TIMES[number % 3],
            },
        )


class Pair:
    """Both databases with the same rows; the third shelf is deleted."""

    def __init__(self, server: postgres.PostgresServer, folder: Path) -> None:
        program, found = check_text("items.cai", SOURCE)
        assert program is not None, found
        assert not found
        self.program: Program = program
        self.loop = asyncio.new_event_loop()
        self.file = str(folder / "app.db")
        self.url = server.url()
        self.sqlite = apsw.Connection(self.file)
        self.sqlite.execute("\n".join(self._tables("sqlite", " STRICT")))
        self.postgres: Any = self._run(asyncpg.connect(self.url))
        self._run(self.postgres.execute("\n".join(self._tables("postgres", ""))))
        self._fill([*_others(), *(("Item", row) for row in rows())])
        self.both(f"delete from Shelf where id = '{key(1002)}'", {})

    def close(self) -> None:
        self._run(self.postgres.close())
        self.loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def _tables(self, dialect: Dialect, tail: str) -> Iterator[str]:
        for entity in self.program.entities:
            lines = [self._line(entity, name, dialect) for name in self._columns(entity)]
            yield f'CREATE TABLE "{entity.table}" ({", ".join(lines)}){tail};'

    def _columns(self, entity: Entity) -> list[str]:
        names = [each.name for each in entity.fields if not isinstance(each.type, ManyType)]
        return [*names, DELETED_AT] if entity.soft_delete else names

    def _line(self, entity: Entity, name: str, dialect: Dialect) -> str:
        found = next((each for each in entity.fields if each.name == name), None)
        kind = found.type if found else ScalarType("timestamp")
        primary = " PRIMARY KEY" if found and found.primary else ""
        return f'"{name}" {column(self.program, kind, dialect)}{primary}'

    def _fill(self, found: Sequence[tuple[str, Mapping[str, object]]]) -> None:
        for entity, row in found:
            table = self.program.entity(entity).table
            self.sqlite.execute(f'INSERT INTO "{table}" (id) VALUES (?)', (row["id"],))
            self._run(self.postgres.execute(f"INSERT INTO \"{table}\" (id) VALUES ('{row['id']}')"))
            known = {name: value for name, value in row.items() if value is not None}
            changes = ", ".join(f"{name} = @{name}" for name in known if name != "id")
            if changes:
                self.both(f"update {entity} set {changes} where id = @id", known)

    def compiled(self, text: str, dialect: Dialect) -> Compiled:
        return compile_query(self.program, text, dialect, "Item")

    def both(
        self, text: str, given: Mapping[str, object]
    ) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
        """The rows of a query, from SQLite and from PostgreSQL, as JSON has them."""
        here, there = self.compiled(text, "sqlite"), self.compiled(text, "postgres")
        found = [here.row(row) for row in self.sqlite.execute(here.sql, here.bind(given, NOW))]
        others = self._run(self.postgres.fetch(there.sql, *there.bind(given, NOW)))
        return found, [there.row(list(row.values())) for row in others]

    def asked(self, text: str, given: Mapping[str, object], database: str) -> list[object]:
        """The rows as `codeai query` reads them from a database of its own opening."""
        made, found = answered(self.program, text, "Item", given, database, NOW)
        return [made.row(row) for row in found]
