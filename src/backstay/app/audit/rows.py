"""The audit in the app's database, inside a transaction. Values of rows are not in it: what a row
held is nobody's business who may only see that it changed."""

from collections.abc import Mapping, Sequence

import msgspec

from backstay.app.plan.unit import Changed
from backstay.app.store.session import Session
from backstay.app.values import stamp_text
from backstay.core.context import Principal
from backstay.core.errors import Plain

FILTERS = ("sub", "method", "request", "path")
_CHANGES = 50
"""Of one request that are named one by one."""


class Deed(msgspec.Struct, frozen=True):
    """Who asked for what."""

    who: Principal
    request: str
    method: str
    path: str


def insert(
    conn: Session,
    id: str,
    deed: Deed,
    at: int,
    status: int | None,
    changes: Sequence[Changed] = (),
) -> None:
    """Keep it; `at` is in UTC microseconds. No `status` yet: it was only asked for."""
    named = [msgspec.structs.asdict(each) for each in changes[:_CHANGES]]
    more = [{"more": len(changes) - _CHANGES}] if len(changes) > _CHANGES else []
    who = deed.who
    conn.execute(
        "INSERT INTO backstay_audit"
        " (id, at, kind, sub, tenant, request, method, path, status, changes)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(id, at, who.kind, who.sub, who.tenant, deed.request, deed.method, deed.path),
            *(status, msgspec.json.encode(named + more).decode()),
        ),
    )


def finish(conn: Session, id: str, status: int) -> None:
    """What became of it."""
    conn.execute("UPDATE backstay_audit SET status = ? WHERE id = ?", (status, id))


def page(
    conn: Session, filters: Mapping[str, str], limit: int, offset: int
) -> list[dict[str, Plain]]:
    """What was changed, the latest first. `filters` are by columns of FILTERS."""
    where = " AND ".join(f"{name} = ?" for name in filters)
    text = (
        "SELECT id, at, kind, sub, tenant, request, method, path, status, changes"  # noqa: S608 - own names
        f" FROM backstay_audit{f' WHERE {where}' if where else ''}"
        " ORDER BY id DESC LIMIT ? OFFSET ?"
    )
    return [_shown(row) for row in conn.execute(text, (*filters.values(), limit, offset))]


def forget(conn: Session, before: int) -> int:
    """Remove what was done before; how many."""
    conn.execute("DELETE FROM backstay_audit WHERE at < ?", (before,))
    return conn.changes()


def _shown(row: Sequence[object]) -> dict[str, Plain]:
    key, at, kind, sub, tenant, request, method, path, status, changes = row
    return {
        "id": str(key),
        "at": stamp_text(int(str(at))),
        "who": {"kind": str(kind), "sub": str(sub), "tenant": str(tenant)},
        "request_id": str(request),
        "method": str(method),
        "path": str(path),
        "status": None if status is None else int(str(status)),
        "changes": msgspec.json.decode(str(changes)),
    }
