"""The SQL of the SQLite engine, read once: `schema_N.sql` and the named statements."""

import re
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)

COLUMNS = (
    "t.seq, t.queue, t.lease_tick, t.id,"
    " coalesce(t.payload, (SELECT p.body FROM payload p WHERE p.seq = t.seq), ''), t.state,"
    " t.created_at, t.updated_at, t.priority, t.attempts, t.max_attempts, t.due_at, t.worker,"
    " t.lease_token, t.lease_until, t.idempotency_key, t.reply_to, t.webhook,"
    " coalesce(t.result, (SELECT r.body FROM result r WHERE r.seq = t.seq), ''), t.error,"
    " t.ended_at, t.claimed_at, t.tags, t.key, t.progress, t.trace"
)
"""`seq`, `queue` and `lease_tick`, then the fields of `model.Task` in their order, without those
that the queue's number stands for."""

_DELIVERY = "d.number, t.queue, t.id, d.url, d.due_at, d.attempts, d.error, d.given_up"
_OF_COMMAND = "(:command = '' OR t.queue IN (SELECT q.id FROM queue q WHERE q.command = :command))"


def _text(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")


def _statements() -> dict[str, str]:
    text = _text("statements.sql")
    for name, part in (
        ("{columns}", COLUMNS),
        ("{delivery}", _DELIVERY),
        ("{of_command}", _OF_COMMAND),
    ):
        text = text.replace(name, part)
    _, *parts = _NAME.split(text)
    return {name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}


MIGRATIONS = (_text("schema_1.sql"), _text("schema_2.sql"))
SQL = _statements()
