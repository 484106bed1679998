"""Pages of tasks, each looked up where few others lie in the way: in the index of a tag, a key, a
reader of outcomes, or of the queues and states that are asked for."""

from collections.abc import Sequence
from typing import NamedTuple

import apsw

from backstay.core.errors import Fault
from backstay.queue.errors import BAD_QUERY
from backstay.queue.model import ENDED, Page, Task, TaskQuery
from backstay.queue.store.sql import COLUMNS
from backstay.queue.store.sqlite_rows import CODES, STATES, Queues, Row

# So many places are looked up and merged; with more, tasks are walked in the order of arrival.
_PLACES = 32

# Said as the partial index says it, or SQLite does not recognise it.
_OVER = "t.state BETWEEN 3 AND 6"

Values = list[str | int | float]


class _Where(NamedTuple):
    conditions: list[str]
    values: Values

    def add(self, condition: str, *values: str | float) -> None:
        self.conditions.append(condition)
        self.values.extend(values)


def read_page(db: apsw.Connection, queues: Queues, query: TaskQuery) -> Page[Task]:
    """Raises QUEUE018 for a cursor that no page gave."""
    sql, values = page_sql(queues, query)
    rows = [queues.read(found) for found in db.execute(sql, values)]
    shown = rows[: query.limit]
    more = len(rows) > query.limit
    return Page([row.task for row in shown], _cursor(query, shown[-1]) if more else "")


def page_sql(queues: Queues, query: TaskQuery) -> tuple[str, Values]:
    """The statement of a page, and what is bound to it. Its text is made of constants of this file
    and of numbers; what somebody sent is bound."""
    where = _filters(query)
    _after(where, query)
    numbers = _numbers(queues, query)
    if numbers == []:
        return _walk(query, _Where(["t.seq = 0"], []), "task t", "t.seq")
    if query.reply_to or query.tag or query.key or query.states == ("leased",):
        return _by_one_index(query, where, numbers)
    places = _places(queues, query, numbers)
    if places is None:
        if numbers is not None:
            # With the sign no index is used for it: all of many queues would have to be sorted.
            where.add(f"+t.queue IN ({_list(numbers)})")
        return _walk(query, where, "task t", "t.seq")
    return _merged(query, where, places)


# --- where to look ---------------------------------------------------------------------------


def _numbers(queues: Queues, query: TaskQuery) -> list[int] | None:
    """Of the queues that are asked for; None means all."""
    if query.tenant is None and not query.command:
        return None
    if query.tenant is not None and query.command:
        number = queues.numbers.get((query.tenant, query.command))
        return [] if number is None else [number]
    return [
        number
        for (tenant, command), number in list(queues.numbers.items())
        if query.tenant in (None, tenant) and query.command in ("", command)
    ]


def _by_one_index(query: TaskQuery, where: _Where, numbers: list[int] | None) -> tuple[str, Values]:
    if numbers is not None:
        where.add(f"+t.queue IN ({_list(numbers)})")
    if query.reply_to:
        # Literals, where a partial index must be recognised.
        where.add("t.unacked = 1 AND t.reply_to = ?", query.reply_to)
        down = " DESC" if query.newest_first else ""
        return _walk(query, where, "task t INDEXED BY task_unread", f"t.ended_at{down}, t.seq")
    if query.tag:
        where.add("g.name = ?", query.tag)
        return _walk(query, where, "tag g CROSS JOIN task t USING (seq)", "g.seq")
    if query.key:
        return _walk(query, where, "task t INDEXED BY task_key", "t.seq")
    # True of every task; it makes the index a place to search.
    where.add("t.lease_tick >= 0")
    return _walk(query, where, "task t INDEXED BY task_leased", "t.seq")


def _places(
    queues: Queues, query: TaskQuery, numbers: list[int] | None
) -> list[tuple[str, str]] | None:
    """Pairs of an index and a condition; None when looking there is worth nothing."""
    over = query.states and all(state in ENDED for state in query.states)
    if numbers is None:
        if not over:
            return None
        numbers = list(queues.names)
    if over:
        states = sorted({CODES[state] for state in query.states})
        places = [
            ("task_over", f"t.queue = {number} AND t.state = {state} AND {_OVER}")
            for number in numbers
            for state in states
        ]
    else:
        places = [("task_queue", f"t.queue = {number}") for number in numbers]
    return places if 0 < len(places) <= _PLACES else None


# --- the statements --------------------------------------------------------------------------


def _walk(query: TaskQuery, where: _Where, source: str, order: str) -> tuple[str, Values]:
    down = " DESC" if query.newest_first else ""
    conditions = " AND ".join(where.conditions or ["t.seq > 0"])
    sql = f"SELECT {COLUMNS} FROM {source} WHERE {conditions} ORDER BY {order}{down} LIMIT ?"  # noqa: S608
    return sql, [*where.values, query.limit + 1]


def _merged(
    query: TaskQuery, where: _Where, places: Sequence[tuple[str, str]]
) -> tuple[str, Values]:
    """As many as a page holds of each place, and of those the first."""
    down = " DESC" if query.newest_first else ""
    found: list[str] = []
    values: Values = []
    for index, condition in places:
        conditions = " AND ".join([condition, *where.conditions])
        found.append(
            f"SELECT * FROM (SELECT t.seq AS place FROM task t INDEXED BY {index}"  # noqa: S608
            f" WHERE {conditions} ORDER BY t.seq{down} LIMIT ?)"
        )
        values += [*where.values, query.limit + 1]
    sql = (
        f"SELECT {COLUMNS} FROM ({' UNION ALL '.join(found)}) CROSS JOIN task t ON t.seq = place"  # noqa: S608
        f" ORDER BY t.seq{down} LIMIT ?"
    )
    return sql, [*values, query.limit + 1]


def _list(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


# --- what must hold --------------------------------------------------------------------------


def _filters(query: TaskQuery) -> _Where:
    where = _Where([], [])
    if query.states:
        codes = [code for code, state in enumerate(STATES) if state in query.states]
        # One state as a literal: so that its partial index is recognised.
        where.add(f"t.state = {codes[0]}" if len(codes) == 1 else f"t.state IN ({_list(codes)})")
    if query.key:
        where.add("t.key = ? AND t.key <> ''", query.key)
    if query.worker:
        where.add("t.worker = ?", query.worker)
    if query.created_after:
        where.add("t.created_at > ?", query.created_after)
    if query.created_before:
        where.add("t.created_at < ?", query.created_before)
    return where


def _after(where: _Where, query: TaskQuery) -> None:
    if not query.after:
        return
    then = "<" if query.newest_first else ">"
    try:
        if query.reply_to:
            ended, _, seq = query.after.partition(":")
            where.add(f"(t.ended_at, t.seq) {then} (?, ?)", float(ended), _seq(seq))
        else:
            where.add(f"{'g' if query.tag else 't'}.seq {then} ?", _seq(query.after))
    except ValueError as bad:
        raise Fault(
            BAD_QUERY, name="cursor", value=query.after[:40], rule="the next_cursor of another page"
        ) from bad


def _seq(text: str) -> int:
    seq = int(text)
    if not 0 <= seq < 2**63:
        raise ValueError(text)
    return seq


def _cursor(query: TaskQuery, row: Row) -> str:
    return f"{row.task.ended_at!r}:{row.seq}" if query.reply_to else str(row.seq)
