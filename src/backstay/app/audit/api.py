"""The audit over HTTP, and how the runtime's own routes get into it.

A request to the program is noted in its own transaction (service.act). What an administrator does
to workflows, jobs or keys has transactions of its own, so it is noted before it is done, and what
became of it after: nothing of that kind happens unnoted. Nobody saw the end of one without a
status.
"""

from collections.abc import Sequence

import msgspec

from backstay.app.audit import rows
from backstay.app.audit.rows import FILTERS, Deed
from backstay.app.flow.asked import filters_of, window_of
from backstay.app.store.session import Database
from backstay.app.values import micros
from backstay.core.clock import Clock, Ids
from backstay.core.errors import Fault, Plain
from backstay.core.web import Endpoint, Handler, Later, Request, Response, json_response


def routes(database: Database) -> list[Endpoint]:
    """`GET /api/v1/admin/audit`, the latest first, by who, method, path or request."""

    async def listed(request: Request) -> Response:
        window = window_of(request, *FILTERS)
        filters, offset = filters_of(request, *FILTERS), (window.page - 1) * window.limit
        found = await database.read(lambda conn: rows.page(conn, filters, window.limit + 1, offset))
        pagination: dict[str, Plain] = {
            "limit": window.limit,
            "page": window.page,
            "has_next": len(found) > window.limit,
        }
        return json_response({"data": found[: window.limit], "pagination": pagination})

    return [Endpoint("GET", "/api/v1/admin/audit", listed, scope="admin")]


def audited(
    endpoints: Sequence[Endpoint], database: Database, clock: Clock, ids: Ids
) -> list[Endpoint]:
    """The routes of administrators, those that change something noted."""
    return [
        msgspec.structs.replace(each, handler=_noted(each.handler, database, clock, ids))
        if each.scope and each.method != "GET"
        else each
        for each in endpoints
    ]


def _noted(handler: Handler, database: Database, clock: Clock, ids: Ids) -> Handler:
    async def noted(request: Request) -> Response | Later:
        ctx = request.ctx
        deed = Deed(ctx.principal, ctx.request_id, request.method, request.path)
        made, at = ids.new(), micros(clock.now())
        await database.write(lambda conn: rows.insert(conn, made, deed, at, None))
        try:
            answer = await handler(request)
        except Fault as refused:
            status = refused.entry.status
            await database.write(lambda conn: rows.finish(conn, made, status))
            raise
        if isinstance(answer, Response):
            done = answer.status
            await database.write(lambda conn: rows.finish(conn, made, done))
        return answer

    return noted
