"""Whether executions need a person: what was given up stays visible until somebody mends it."""

from backstay.app.store.session import Database, Session
from backstay.core.health import Check, Finding

_EVERY = 10.0


def check(database: Database) -> Check:
    """Degraded while an execution's compensation was given up (`compensation_failed`)."""

    async def run() -> Finding:
        counts = await database.read(_counts)
        lost = counts["compensation_failed"]
        if not lost:
            return Finding("pass", facts=dict(counts))
        says = f"{lost} executions could not be undone: codeai workflow executions"
        return Finding("warn", dict(counts), f"{says} --status compensation_failed")

    return Check("workflows", False, 2.0, _EVERY, run)


def _counts(conn: Session) -> dict[str, int]:
    sql = "SELECT count(*) FROM executions WHERE status = ?"
    shown = ("pending", "running", "compensating", "compensation_failed")
    return {status: int(conn.execute(sql, (status,)).get or 0) for status in shown}
