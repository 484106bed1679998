"""What administrators ask of a running app beside its data: slow statements and their plans."""

from backstay.app.errors import NO_SLOW_QUERY
from backstay.app.plan.endpoints import PREFIX
from backstay.app.store.session import Database
from backstay.app.store.slow import TimedDatabase
from backstay.core.errors import Fault, Plain
from backstay.core.web import Endpoint, Request, Response, json_response

_SHOWN = 20
_SEVERAL = 3
"""Times that are no accident."""
_RECENT = 600.0
"""Seconds for which a statement that was slow still says something."""


def routes(database: TimedDatabase) -> list[Endpoint]:
    """`GET /api/v1/admin/slow-queries`, and `…/{id}/plan` for the plan of one."""

    async def slow(_: Request) -> Response:
        found = [each.plain() for each in database.slow()]
        return json_response({"threshold": database.threshold * 1000, "data": found})

    async def plan(request: Request) -> Response:
        lines = await database.plan(request.params["id"])
        if lines is None:
            raise Fault(NO_SLOW_QUERY, id=request.params["id"])
        return json_response({"id": request.params["id"], "plan": lines})

    where = f"{PREFIX}/admin/slow-queries"
    return [
        Endpoint("GET", where, slow, scope="admin"),
        Endpoint("GET", where + "/{id}/plan", plan, scope="admin"),
    ]


async def probe(database: TimedDatabase) -> dict[str, Plain]:
    """The slowest statements of the last minutes with their plans, for the doctor: asked only when
    somebody looks."""
    often = database.often(_SEVERAL, _RECENT)
    told: list[Plain] = [
        {**_plain(each.plain()), "plan": list(await database.plan(each.id) or ())}
        for each in often[:_SHOWN]
    ]
    return {"threshold_seconds": database.threshold, "slow": told}


async def locks(database: Database) -> dict[str, Plain]:
    """Who keeps statements waiting, for the doctor."""
    found: list[Plain] = [*await database.blockers()]
    return {"address": database.whereabouts().get("address"), "blockers": found}


def _plain(values: dict[str, object]) -> dict[str, Plain]:
    return {name: value for name, value in values.items() if isinstance(value, str | int | float)}
