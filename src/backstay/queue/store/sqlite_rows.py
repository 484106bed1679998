"""How the SQLite engine writes down what the model says: numbers of states and queues, rows."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import apsw
import msgspec

from backstay.queue.model import State, Task
from backstay.queue.store.sql import SQL

STATES: tuple[State, ...] = (
    "ready",
    "delayed",
    "leased",
    "completed",
    "failed",
    "dead",
    "cancelled",
    "ready",
)
"""By the number in `task.state`. The last is ready, but set aside: its key is at a bound."""

CODES: Mapping[State, int] = {state: code for code, state in enumerate(STATES[:7])}

INLINE = 800
"""Bodies up to so many characters lie in the row that each step rewrites; others in a table of
their own, written once."""


class Row(NamedTuple):
    """A task with what only the engine knows of it."""

    seq: int
    queue: int
    lease_tick: float
    task: Task


Place = tuple[int, float, int]


def place(row: Row) -> Place:
    """Where a waiting task stands among those of its queue; the smallest is served first."""
    return -row.task.priority, row.task.due_at, row.seq


class Queues:
    """The number of each (tenant, command). Numbers are never given up, so readers may look here
    while the writer adds."""

    def __init__(self) -> None:
        self.names: dict[int, tuple[str, str]] = {}
        self.numbers: dict[tuple[str, str], int] = {}

    def load(self, db: apsw.Connection) -> None:
        """As the store has them; what a rolled back commit added is forgotten."""
        rows: list[Any] = db.execute(SQL["all_queues"]).fetchall()
        self.names.update({number: (tenant, command) for number, tenant, command in rows})
        self.numbers = {(tenant, command): number for number, tenant, command in rows}

    def number(self, db: apsw.Connection, tenant: str, command: str) -> int:
        """Its number; a new one is stored with the commit that needs it."""
        name = (tenant, command)
        known = self.numbers.get(name)
        if known is None:
            db.execute(SQL["insert_queue"], name)
            known = db.last_insert_rowid()
            self.names[known] = name
            self.numbers[name] = known
        return known

    def read(self, values: tuple[Any, ...]) -> Row:
        """From the columns of `sql.COLUMNS`."""
        seq, queue, lease_tick, task_id, payload, code, *step = values
        tenant, command = self.names[queue]
        step[16] = tags_of(step[16])
        return Row(
            seq, queue, lease_tick, Task(task_id, tenant, command, payload, STATES[code], *step)
        )


def tags_of(text: str) -> tuple[str, ...]:
    """Tags as the column holds them: a JSON list, or nothing."""
    return msgspec.json.decode(text, type=tuple[str, ...]) if text else ()


def tags_text(tags: tuple[str, ...]) -> str:
    return msgspec.json.encode(tags).decode() if tags else ""
