"""What stands still though it could go on, for the doctor: read from the rows of workflows."""

from collections.abc import Callable

from backstay.app.flow import service
from backstay.app.flow.sweeper import PERIOD
from backstay.app.store.session import Session

RECENT = 3600.0
"""Seconds for which a delivery that was given up still says something."""
_LOOKED = 20

_DUE = (
    "SELECT workflow, name, count(*), max(? - due_at) FROM steps"
    " WHERE state = 'pending' AND kind <> 'call' AND due_at <= ? GROUP BY 1, 2 ORDER BY 4 DESC"
    " LIMIT ?"
)
_LEASED = (
    "SELECT workflow, name, count(*), max(? - started_at),"
    " max(started_at + lease_seconds - ?), min(started_at + lease_seconds - ?)"
    " FROM steps WHERE state = 'running' AND lease_owner <> ? GROUP BY 1, 2 ORDER BY 4 DESC LIMIT ?"
)
_OVERDUE = (
    "SELECT workflow, name, count(*), max(? - due_at) FROM steps"
    " WHERE state = 'waiting' AND due_at <= ? GROUP BY 1, 2 ORDER BY 4 DESC LIMIT ?"
)
_GIVEN_UP = (
    "SELECT target, count(*), max(error), max(event) FROM backstay_deliveries"
    " WHERE state = 'failed' AND ended_at >= ? GROUP BY 1 ORDER BY 2 DESC LIMIT ?"
)
_ONE_OF = (
    "SELECT id, workflow_id FROM executions WHERE program = ? AND status IN"
    " ('pending', 'running', 'compensating') ORDER BY created_at LIMIT 1"
)


def standing(
    conn: Session, now: float, owner: str, known: Callable[[str], bool]
) -> dict[str, object]:
    """Steps that are due and not run, held by other processes than `owner`, or not given up in
    time; executions whose program is not `known`; deliveries that were given up of late."""
    due = conn.execute(_DUE, (now, now, _LOOKED))
    leased = conn.execute(_LEASED, (now, now, now, owner, _LOOKED))
    overdue = conn.execute(_OVERDUE, (now, now - 2 * PERIOD, _LOOKED))
    given_up = conn.execute(_GIVEN_UP, (now - RECENT, _LOOKED))
    return {
        "due": [_told("workflow step count oldest", row) for row in due],
        "leased": [_told("workflow step count oldest left soonest", row) for row in leased],
        "overdue": [_told("workflow step count oldest", row) for row in overdue],
        "missing": _missing(conn, known),
        "given_up": [_told("target count error event", row) for row in given_up],
    }


def _missing(conn: Session, known: Callable[[str], bool]) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for program, count in service.programs_alive(conn).items():
        if not known(program):
            first = conn.execute(_ONE_OF, (program,)).fetchone() or ("", "")
            found.append(
                {
                    "program": program,
                    "count": count,
                    "execution": str(first[0]),
                    "workflow": str(first[1]),
                }
            )
    return found


def _told(names: str, row: tuple[object, ...]) -> dict[str, object]:
    return {
        name: round(value, 1) if isinstance(value, float) else value
        for name, value in zip(names.split(), row, strict=True)
    }
