"""The runtime's own tables: made and brought up to date once, however many replicas start."""

from backstay.app.store.errors import NEWER
from backstay.app.store.postgres.dialect import POSTGRES
from backstay.app.store.session import Session
from backstay.core.errors import Fault
from backstay.core.sqlite import Schema

_META = """
CREATE TABLE IF NOT EXISTS backstay_schema (
  application TEXT PRIMARY KEY,
  version BIGINT NOT NULL
)
"""


def bring_up(session: Session, schema: Schema, where: str) -> int:
    """Run the migrations that are missing; how many. Raises APP048 for a newer schema."""
    session.execute(_META)
    found = session.execute(
        "SELECT version FROM backstay_schema WHERE application = ?", (schema.application,)
    ).get
    done = int(found or 0)
    if done > schema.version:
        raise Fault(NEWER, where=where, found=done, known=schema.version)
    for migration in schema.migrations[done:]:
        for statement in _statements(POSTGRES.ddl(migration)):
            session.execute(statement)
    if done < schema.version:
        session.execute(
            "INSERT INTO backstay_schema (application, version) VALUES (?, ?)"
            " ON CONFLICT (application) DO UPDATE SET version = excluded.version",
            (schema.application, schema.version),
        )
    return schema.version - done


def _statements(script: str) -> list[str]:
    lines = [line for line in script.splitlines() if not line.lstrip().startswith("--")]
    return [part.strip() for part in "\n".join(lines).split(";") if part.strip()]
