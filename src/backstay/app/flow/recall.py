"""Programs of the past, made again from the sources that the database keeps (decision 9)."""

import asyncio

import structlog

from backstay.app.flow.engine import LoadProgram
from backstay.app.store.aim import aim
from backstay.app.store.programs import sources_of
from backstay.app.store.session import Database
from backstay.lang.api import check_files
from backstay.lang.program import Program

_log = structlog.get_logger("app.flow")


def recalled(database: Database) -> LoadProgram:
    """Gives the program of a hash: None when it was never served from this database, or when this
    release no longer accepts its sources (which is logged)."""

    async def load(hash: str) -> Program | None:
        sources = await database.read(lambda conn: sources_of(conn, hash))
        if sources is None:
            return None
        program, found = await asyncio.to_thread(check_files, sources)
        if program is None:
            first = found[0].message if found else ""
            _log.error("a stored program is not valid any more", program=hash, reason=first)
        return None if program is None else aim(program, database.dialect)

    return load
