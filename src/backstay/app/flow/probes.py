"""What the doctor may ask about workflows: read-only, answered from the database and memory."""

from collections.abc import Awaitable, Callable

from backstay.app.flow import troubles
from backstay.app.flow.deliveries import waiting
from backstay.app.flow.integrations import Integrations
from backstay.app.flow.standing import standing
from backstay.app.flow.steady import Steady
from backstay.app.store.session import Database, Session

Probe = Callable[[], Awaitable[dict[str, object]]]


def of(
    database: Database,
    steady: Steady,
    integrations: Integrations,
    owner: str,
    known: Callable[[str], bool],
) -> dict[str, Probe]:
    """The probes by id. `owner` is this process as leases name it; `known` says of a program's hash
    whether it is at hand."""

    async def steps() -> dict[str, object]:
        now = steady.now()
        return {"steps": await database.read(lambda conn: _steps(conn, now))}

    async def outside() -> dict[str, object]:
        now = steady.now()
        return {"commands": await database.read(lambda conn: _outside(conn, now))}

    async def targets() -> dict[str, object]:
        return {"integrations": integrations.readings()}

    async def events() -> dict[str, object]:
        return {"deliveries": await database.read(lambda conn: waiting(conn, steady.now()))}

    async def work() -> dict[str, object]:
        now = steady.now()
        return await database.read(
            lambda conn: {
                "lost": troubles.lost(conn),
                "outside": _outside(conn, now),
                "jobs": troubles.jobs(conn, now),
                "workflows": troubles.workflows(conn, now),
            }
        )

    async def still() -> dict[str, object]:
        now = steady.now()
        return await database.read(lambda conn: standing(conn, now, owner, known))

    return {
        "app.events": events,
        "app.standing": still,
        "app.work": work,
        "app.steps": steps,
        "app.outside": outside,
        "app.integrations": targets,
    }


def _steps(conn: Session, now: float) -> list[dict[str, object]]:
    """Living steps per workflow and step; `oldest` is how long, in seconds, one waits by now."""
    sql = (
        "SELECT workflow, name, phase,"
        " count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'running'),"
        " count(*) FILTER (WHERE state = 'waiting'), max(? - coalesce(started_at, due_at)),"
        " max(error)"
        " FROM steps WHERE state IN ('pending', 'running', 'waiting') GROUP BY 1, 2, 3 LIMIT 200"
    )
    return [
        {
            "workflow": workflow,
            "step": step,
            "phase": phase,
            "pending": pending,
            "running": running,
            "waiting": waiting,
            "oldest": round(max(0.0, oldest or 0.0), 3),
            "last_error": error or "",
        }
        for workflow, step, phase, pending, running, waiting, oldest, error in conn.execute(
            sql, (now,)
        )
    ]


def _outside(conn: Session, now: float) -> list[dict[str, object]]:
    """Calls per task command that no worker has answered; `unsent` are not with the queue yet."""
    sql = (
        "SELECT command, count(*), count(*) FILTER (WHERE state = 'new'), max(? - created_at),"
        " max(sends)"
        " FROM outbox WHERE state <> 'cancel' GROUP BY 1 LIMIT 200"
    )
    return [
        {
            "command": command,
            "waiting": waiting,
            "unsent": unsent,
            "oldest": round(max(0.0, oldest), 3),
            "most_sends": sends,
        }
        for command, waiting, unsent, oldest, sends in conn.execute(sql, (now,))
    ]
