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

_SHOWN = """'{"id":' || json_quote(id) || ',"command":' || :command_json
  || ',"payload":' || json_quote(payload) || ',"status":"IN_PROGRESS","createdAt":"'
  || strftime('%Y-%m-%dT%H:%M:%S.', second + micros / 1000000, 'unixepoch')
  || format('%06dZ","updatedAt":"', micros % 1000000) || :now_text || '"'
  || iif(priority = 0, '', ',"priority":' || priority)
  || :worker_json || ',"leaseUntil":"' || :until_text || '","leaseToken":"' || :token || seq
  || '","attempts":' || (attempts + 1)
  || iif(max_attempts = 0, '', ',"maxAttempts":' || max_attempts)
  || iif(error = '', '', ',"error":' || json_quote(error)) || :tenant_json
  || iif(idempotency_key = '', '', ',"idempotencyKey":' || json_quote(idempotency_key))
  || iif(reply_to = '', '', ',"replyTo":' || json_quote(reply_to))
  || ',"lastKnownLocation":"INPROG_SET"'
  || iif(webhook = '', '', ',"webhook":' || json_quote(webhook))
  || iif(tags = '', '', ',"tags":' || tags) || iif(key = '', '', ',"key":' || json_quote(key))
  || iif(progress = '', '', ',"progress":' || progress)
  || ',"claimedAt":"' || :now_text || '"'
  || iif(trace = '', '', ',"traceParent":' || json_quote(trace)) || '}'"""
"""A task as the worker is shown it that has just leased it: `api.wire.task_view`, made by SQLite.
The two are compared by tests/queue/test_shown.py."""

_DELIVERY = "d.number, t.queue, t.id, d.url, d.due_at, d.attempts, d.error, d.given_up"
_OF_COMMAND = "(:command = '' OR t.queue IN (SELECT q.id FROM queue q WHERE q.command = :command))"


def _text(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")


def _statements() -> dict[str, str]:
    text = _text("statements.sql")
    for name, part in (
        ("{columns}", COLUMNS),
        ("{shown}", _SHOWN),
        ("{delivery}", _DELIVERY),
        ("{of_command}", _OF_COMMAND),
    ):
        text = text.replace(name, part)
    _, *parts = _NAME.split(text)
    return {name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}


MIGRATIONS = (_text("schema_1.sql"), _text("schema_2.sql"))
SQL = _statements()
