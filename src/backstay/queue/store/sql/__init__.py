"""The SQL of the SQLite engine, read once: `schema_N.sql` and the named statements."""

import re
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)

COLUMNS = (
    "t.seq, t.id, t.tenant, t.command, p.body, t.state, t.created_at, t.updated_at, t.priority,"
    " t.attempts, t.max_attempts, t.due_at, t.worker, t.lease_token, t.lease_until,"
    " t.idempotency_key, t.reply_to, t.webhook, coalesce(r.body, ''), t.error, t.ended_at,"
    " t.lease_tick"
)
"""`seq`, then the fields of `model.Task` in their order, then `lease_tick`."""


def _text(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")


def _statements() -> dict[str, str]:
    _, *parts = _NAME.split(_text("statements.sql").replace("{columns}", COLUMNS))
    return {name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}


MIGRATIONS = (_text("schema_1.sql"),)
SQL = _statements()
