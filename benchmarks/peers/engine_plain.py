"""The least that can be called a queue, on the standard library's sqlite3: one table, a claim that
marks, a result that ends. No lease end, no retry, no tenants, no order but arrival."""

import sqlite3
import time
from functools import partial
from typing import Any

from timed import PAYLOAD, RESULT, arguments, timed, told

folder, tasks, batch = arguments()
db = sqlite3.connect(folder / "plain.db", isolation_level=None)
db.execute("PRAGMA journal_mode = wal")
db.execute("PRAGMA synchronous = FULL")
db.executescript(
    "CREATE TABLE job (id INTEGER PRIMARY KEY, state INTEGER DEFAULT 0, body TEXT,"
    " worker TEXT, claimed REAL, result TEXT);"
    "CREATE INDEX job_ready ON job (id) WHERE state = 0"
)


def create() -> None:
    db.execute("BEGIN IMMEDIATE")
    db.executemany("INSERT INTO job (body) VALUES (?)", [(PAYLOAD,)] * batch)
    db.execute("COMMIT")


def claim() -> Any:
    db.execute("BEGIN IMMEDIATE")
    rows = db.execute(
        "UPDATE job SET state = 1, worker = 'w', claimed = ? WHERE id IN"
        " (SELECT id FROM job WHERE state = 0 ORDER BY id LIMIT ?) RETURNING id, body",
        (time.time(), batch),
    ).fetchall()
    db.execute("COMMIT")
    return rows


def finish(rows: Any) -> None:
    db.execute("BEGIN IMMEDIATE")
    db.executemany(
        "UPDATE job SET state = 2, result = ? WHERE id = ? AND state = 1",
        [(RESULT, job) for job, _ in rows],
    )
    db.execute("COMMIT")


def cycles(times: list[float]) -> None:
    for _ in range(tasks // batch):
        timed(times, create)
        timed(times, partial(finish, timed(times, claim)))


told(tasks, cycles)
