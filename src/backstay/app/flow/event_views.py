"""Events as people read them: what happened, where it went, and each try to bring it there."""

# ruff: noqa: S608 - clauses are texts of ours, values are always parameters

from collections.abc import Mapping
from typing import Any

import msgspec

from backstay.app.flow.views import Json, Window, page, span, time_of
from backstay.app.store.session import Session

_EVENT = "SELECT id, event, payload, origin, cause, created_at FROM events"
_STATES = ("pending", "running", "done", "failed")


def events(conn: Session, window: Window, filters: Mapping[str, str]) -> Json:
    """The newest first, with how many deliveries are in each state. `state` keeps those with a
    delivery in that state."""
    clauses, values = [], []
    if name := filters.get("event"):
        clauses.append("event = ?")
        values.append(name)
    if state := filters.get("state"):
        clauses.append("id IN (SELECT event FROM backstay_deliveries WHERE state = ?)")
        values.append(state)
    where = "WHERE " + " AND ".join(clauses) if clauses else ""
    order = "ORDER BY created_at DESC, id DESC LIMIT ? OFFSET ?"
    found = conn.execute(f"{_EVENT} {where} {order}", (*values, *span(window)))
    counts = _counts(conn, [str(row[0]) for row in found])
    data = [_event(row) | {"deliveries": counts.get(str(row[0]), {})} for row in found]
    total = conn.execute(f"SELECT count(*) FROM events {where}", tuple(values)).get
    return page(data, window, int(total))


def _counts(conn: Session, ids: list[str]) -> dict[str, dict[str, int]]:
    if not ids:
        return {}
    marks = ", ".join("?" for _ in ids)
    counts: dict[str, dict[str, int]] = {}
    for event, state, count in conn.execute(
        "SELECT event, state, count(*) FROM backstay_deliveries"
        f" WHERE event IN ({marks}) GROUP BY event, state ORDER BY event, state",
        ids,
    ):
        counts.setdefault(str(event), {})[str(state)] = int(count)
    return counts


def event(conn: Session, id: str) -> Json | None:
    """One event with its deliveries and every try; None when it is not kept."""
    row = conn.execute(f"{_EVENT} WHERE id = ?", (id,)).fetchone()
    if row is None:
        return None
    tries: dict[str, list[Json]] = {}
    for delivery, attempt, outcome, error, began, took in conn.execute(
        "SELECT delivery, attempt, outcome, error, started_at, took"
        " FROM backstay_delivery_attempts WHERE delivery IN"
        " (SELECT id FROM backstay_deliveries WHERE event = ?) ORDER BY delivery, attempt",
        (id,),
    ):
        tries.setdefault(str(delivery), []).append(
            {
                "attempt": attempt,
                "outcome": outcome,
                "error": error,
                "started_at": time_of(began),
                "duration": round(took * 1000, 3),
            }
        )
    deliveries = [
        _delivery(each, tries.get(str(each[0]), []))
        for each in conn.execute(
            "SELECT id, target, run, state, made, attempt, due_at, error, ended_at"
            " FROM backstay_deliveries WHERE event = ? ORDER BY run, target",
            (id,),
        )
    ]
    return _event(row) | {"deliveries": deliveries}


def _event(row: tuple[Any, ...]) -> Json:
    key, name, payload, origin, cause, created_at = row
    return {
        "id": key,
        "event": name,
        "payload": msgspec.json.decode(payload),
        "origin": origin,
        "cause": cause,
        "created_at": time_of(created_at),
    }


def _delivery(row: tuple[Any, ...], attempts: list[Json]) -> Json:
    key, target, run, state, made, attempt, due_at, error, ended_at = row
    kind = target.partition(":")[0]
    made_as = {"workflow": "execution", "emit": "event"}.get(kind, "")
    return {
        "id": key,
        "target": target,
        "run": run,
        "state": state,
        **({made_as: made} if made_as and made else {}),
        "attempt": attempt,
        "due_at": time_of(due_at) if state == "pending" else None,
        "error": error,
        "ended_at": time_of(ended_at),
        "attempts": attempts,
    }
