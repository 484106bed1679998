"""The programs that were served from this database, so that what they began can be resumed."""

from collections.abc import Sequence

import apsw
import msgspec

from backstay.lang.program import Program


class StoredProgram(msgspec.Struct, frozen=True):
    """`sources` are (name, text), in the order of their names, as they were given to the checker."""

    hash: str
    name: str
    version: str
    sources: tuple[tuple[str, str], ...]


def remember(conn: apsw.Connection, program: Program, now: int) -> None:
    """Keep the sources; the same program again changes nothing."""
    conn.execute(
        "INSERT OR IGNORE INTO backstay_programs (hash, name, version, sources, loaded_at)"
        " VALUES (?, ?, ?, ?, ?)",
        (
            program.hash,
            program.name,
            program.version,
            msgspec.json.encode(program.sources).decode(),
            now,
        ),
    )


def known(conn: apsw.Connection) -> Sequence[StoredProgram]:
    """All of them, oldest first."""
    found = conn.execute(
        "SELECT hash, name, version, sources FROM backstay_programs ORDER BY loaded_at, hash"
    )
    return [
        StoredProgram(hash, name, version, _SOURCES.decode(sources))
        for hash, name, version, sources in found
    ]


_SOURCES = msgspec.json.Decoder(tuple[tuple[str, str], ...])
