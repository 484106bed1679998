"""The programs that were served from this database, so that what they began can be resumed."""

import msgspec

from backstay.app.store.session import Session
from backstay.lang.program import Program


def remember(conn: Session, program: Program, now: int) -> None:
    """Keep the sources of a program; the same program again changes nothing."""
    conn.execute(
        "INSERT INTO backstay_programs (hash, name, version, sources, loaded_at)"
        " VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (
            program.hash,
            program.name,
            program.version,
            msgspec.json.encode(program.sources).decode(),
            now,
        ),
    )


def sources_of(conn: Session, hash: str) -> "Sources | None":
    """What the program with this hash was made from; None when it was never served here."""
    text: str | None = conn.execute(
        "SELECT sources FROM backstay_programs WHERE hash = ?", (hash,)
    ).get
    return None if text is None else _SOURCES.decode(text)


Sources = tuple[tuple[str, str], ...]
_SOURCES = msgspec.json.Decoder(Sources)
