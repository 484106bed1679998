"""The query language over HTTP, for administrators: `codeai query` from where no database is."""

import asyncio
from collections.abc import Sequence

import msgspec

from backstay.app.errors import BAD_QUESTION
from backstay.app.plan.endpoints import PREFIX
from backstay.app.service import Runtime
from backstay.app.store.aim import dialect_of
from backstay.app.store.session import RowTrouble, Session
from backstay.core.errors import Fault
from backstay.core.web import Endpoint, Request, Response, expect_json, json_response
from backstay.lang.query.compile import Compiled
from backstay.lang.query.compile import compile as compile_query
from backstay.lang.query.errors import EXECUTION, READ_ONLY, QueryError

MOST_ROWS = 1_000
"""Rows of one answer; who wants more pages through them with `limit` and `offset`."""
_LONGEST = 64 * 1024


class _Question(msgspec.Struct, forbid_unknown_fields=True):
    query: str
    parameters: dict[str, object] = {}
    entity: str = ""


_DECODE = msgspec.json.Decoder(_Question).decode


def routes(runtime: Runtime) -> list[Endpoint]:
    """`POST /api/v1/admin/query` with `{query, parameters, entity}`; it only reads, and no row rule
    holds for who looks after the whole."""
    dialect = dialect_of(runtime.program).name

    async def ask(request: Request) -> Response:
        expect_json(request)
        try:
            asked = _DECODE(request.body)
        except msgspec.DecodeError as bad:
            raise Fault(BAD_QUESTION, reason=str(bad)) from bad
        # A long text takes its time, and others are answered meanwhile.
        made = await asyncio.to_thread(
            compile_query, runtime.program, asked.query, dialect, asked.entity
        )
        if made.writes:
            raise Fault(READ_ONLY)
        values = made.bind(asked.parameters, runtime.clock.now())
        rows = await runtime.database.read(lambda conn: _rows(conn, made, values))
        return json_response({"data": rows[:MOST_ROWS], "more": len(rows) > MOST_ROWS})

    where = f"{PREFIX}/admin/query"
    return [Endpoint("POST", where, ask, scope="admin", max_body=_LONGEST)]


def _rows(conn: Session, made: Compiled, values: Sequence[object]) -> list[dict[str, object]]:
    """As JSON, and one more than are shown: nobody's question may fill the memory."""
    bounded = f"SELECT * FROM ({made.sql}) AS asked LIMIT {MOST_ROWS + 1}"  # noqa: S608 - no values
    try:
        found = conn.execute(bounded, values)
    except RowTrouble as bad:
        raise QueryError(EXECUTION, reason=str(bad)) from bad
    return [made.row(row) for row in found]
