"""The items of a for_each as rows: what may begin next, and what they gave.

Lists are long: nothing here looks through all of them for each item. In the first run the rows are
the places from 0 on without a hole. A later run begins with holes, where items were undone and
dropped: `fill` closes them with rows that are set aside, and those are taken up in order.
"""

from backstay.app.flow import rows
from backstay.app.flow.rows import WHOLE, Step
from backstay.app.store.session import Session

_OF = "FROM steps WHERE execution = ? AND phase = 'forward' AND position = ?"


def last(conn: Session, execution: str, position: int) -> int:
    """The place of the last item that has a row, `WHOLE` when none has."""
    found = conn.execute(f"SELECT max(item) {_OF}", (execution, position)).get
    return WHOLE if found is None else int(found)


def holes(conn: Session, execution: str, position: int) -> list[int]:
    """Places before the last one that have no row."""
    found = conn.execute(f"SELECT item {_OF} AND item >= 0", (execution, position))
    known = {int(item) for (item,) in found}
    return [place for place in range(max(known, default=0)) if place not in known]


def set_aside(conn: Session, execution: str, position: int, after: int) -> Step | None:
    """The first item behind `after` that has not begun in this run."""
    where = (
        "WHERE execution = ? AND phase = 'forward' AND position = ? AND item > ?"
        " AND state = 'skipped' AND attempt = 0 ORDER BY item LIMIT 1"
    )
    return next(rows.steps(conn, where, (execution, position, after)), None)


def any_open(conn: Session, execution: str, position: int) -> bool:
    """Whether an item is under way."""
    found = conn.execute(
        f"SELECT 1 {_OF} AND item >= 0 AND state IN ('pending', 'running', 'waiting') LIMIT 1",
        (execution, position),
    ).fetchone()
    return found is not None


def given(conn: Session, execution: str, position: int, count: int) -> str:
    """What the items gave, as one JSON list in the list's order."""
    found = conn.execute(
        f"SELECT item, output {_OF} AND item >= 0 AND output IS NOT NULL", (execution, position)
    )
    texts = {int(item): str(text) for item, text in found}
    return f"[{','.join(texts.get(place) or 'null' for place in range(count))}]"
