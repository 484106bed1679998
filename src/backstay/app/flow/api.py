"""Workflows, executions and jobs over HTTP: a thin face of the service and the views.

Reading executions needs the admin scope as changing them does: inputs and outputs are data of the
app that no access rule guards here.
"""

from collections.abc import Callable

import msgspec

from backstay.app.flow import service, views
from backstay.app.flow.asked import choice_of, filters_of, one, window_of
from backstay.app.flow.engine import Flow
from backstay.app.flow.errors import BAD_QUERY, NOT_OFFERED, UNKNOWN_EXECUTION, UNKNOWN_JOB
from backstay.app.flow.event_api import routes as event_routes
from backstay.app.flow.jobs import run_now
from backstay.app.flow.model import EXECUTION_NEXT, Command
from backstay.app.flow.pausing import pause, resume
from backstay.app.store.session import Session
from backstay.core.duration import format_duration, parse_duration
from backstay.core.errors import Fault
from backstay.core.web import Endpoint, Handler, Request, Response, decode_json, json_response

ADMIN = "admin"
_ANY = msgspec.json.Decoder(object)
PURGE_AGE = 86400.0
"""Seconds: what is younger stays, unless `older_than` says otherwise (seed C28)."""

_RUN_STATUSES = ("pending", "running", *service.RUN_ENDS)


def routes(flow: Flow) -> list[Endpoint]:
    """All routes of this room, to stand beside those of the program."""
    api = _Api(flow)
    root = "/api/v1"
    return [
        Endpoint("GET", f"{root}/workflows", api.workflows),
        Endpoint("POST", f"{root}/workflows/{{name}}/start", api.start, scope=ADMIN),
        Endpoint("POST", f"{root}/workflows/{{name}}/dry-run", api.rehearse, scope=ADMIN),
        Endpoint("GET", f"{root}/executions", api.executions, scope=ADMIN),
        Endpoint("GET", f"{root}/executions/{{id}}/history", api.history, scope=ADMIN),
        Endpoint("POST", f"{root}/executions/{{id}}/migrate", api.migrate, scope=ADMIN),
        Endpoint("POST", f"{root}/executions/{{id}}/signals/{{name}}", api.signal, scope=ADMIN),
        Endpoint("GET", f"{root}/executions/{{id}}", api.execution, scope=ADMIN),
        Endpoint("POST", f"{root}/executions/{{id}}/cancel", api.order("cancel"), scope=ADMIN),
        Endpoint("POST", f"{root}/executions/{{id}}/retry", api.order("retry"), scope=ADMIN),
        Endpoint(
            "POST", f"{root}/executions/{{id}}/compensate", api.order("compensate"), scope=ADMIN
        ),
        Endpoint("GET", f"{root}/jobs", api.jobs),
        Endpoint("POST", f"{root}/jobs/{{name}}/run", api.run_job, scope=ADMIN),
        Endpoint("POST", f"{root}/jobs/{{name}}/pause", api.pause_job, scope=ADMIN),
        Endpoint("POST", f"{root}/jobs/{{name}}/resume", api.resume_job, scope=ADMIN),
        Endpoint("GET", f"{root}/admin/jobs", api.job_runs, scope=ADMIN),
        Endpoint("DELETE", f"{root}/admin/jobs/{{id}}", api.cancel_run, scope=ADMIN),
        Endpoint("POST", f"{root}/admin/jobs/purge", api.purge, scope=ADMIN),
        *event_routes(flow),
    ]


class _Api:
    def __init__(self, flow: Flow) -> None:
        self._flow = flow

    async def workflows(self, request: Request) -> Response:
        window = window_of(request)
        return await self._page(lambda conn: views.workflows(conn, window))

    async def executions(self, request: Request) -> Response:
        window = window_of(request, "status", "workflow_id")
        filters = filters_of(request, "workflow_id") | choice_of(
            request, "status", tuple(EXECUTION_NEXT)
        )
        return await self._page(lambda conn: views.executions(conn, window, filters))

    async def execution(self, request: Request) -> Response:
        key = request.params["id"]
        found = await self._flow.database.read(
            lambda conn: views.execution(conn, key), snapshot=True
        )
        if found is None:
            raise Fault(UNKNOWN_EXECUTION, id=key)
        return json_response(found)

    async def start(self, request: Request) -> Response:
        name = request.params["name"]
        made = await self._flow.begin_by_hand(name, request.body)
        return json_response({"id": made, "workflow_id": name, "status": "pending"}, 202)

    async def rehearse(self, request: Request) -> Response:
        return json_response(await self._flow.rehearse(request.params["name"], request.body))

    async def history(self, request: Request) -> Response:
        key = request.params["id"]
        found = await self._flow.database.read(lambda conn: views.history(conn, key), snapshot=True)
        if found is None:
            raise Fault(UNKNOWN_EXECUTION, id=key)
        return json_response(found)

    async def signal(self, request: Request) -> Response:
        key, name = request.params["id"], request.params["name"]
        value = decode_json(request, _ANY) if request.body.strip() else None
        await self._flow.signal(key, name, value)
        return json_response({"id": key, "signal": name}, 202)

    async def migrate(self, request: Request) -> Response:
        key = request.params["id"]
        to = await self._flow.migrate(key, one(request, "to"))
        return json_response({"id": key, "program": to})

    def order(self, command: Command) -> Handler:
        async def handle(request: Request) -> Response:
            key = request.params["id"]
            await self._flow.order(key, command)
            row = await self._flow.database.read(
                lambda conn: views.execution(conn, key), snapshot=True
            )
            return json_response(row, 202)

        return handle

    async def jobs(self, request: Request) -> Response:
        window = window_of(request)
        return await self._page(lambda conn: views.jobs(conn, window))

    async def run_job(self, request: Request) -> Response:
        name = request.params["name"]
        if name not in self._flow.cron.jobs:
            raise Fault(UNKNOWN_JOB, name=name)
        now = self._flow.clock.now()
        run = await self._flow.database.write(lambda conn: run_now(conn, self._flow.ids, name, now))
        self._flow.cron.wake.set()
        return json_response({"id": run, "job": name, "status": "pending"}, 202)

    async def pause_job(self, request: Request) -> Response:
        name = request.params["name"]
        await self._flow.database.write(lambda conn: pause(conn, name))
        return json_response({"name": name, "status": "paused"})

    async def resume_job(self, request: Request) -> Response:
        name, now = request.params["name"], self._flow.clock.now()
        await self._flow.database.write(lambda conn: resume(conn, name, now))
        self._flow.cron.wake.set()
        return json_response({"name": name, "status": "active"})

    async def job_runs(self, request: Request) -> Response:
        window = window_of(request, "status", "job")
        filters = filters_of(request, "job") | choice_of(request, "status", _RUN_STATUSES)
        return await self._page(lambda conn: views.job_runs(conn, window, filters))

    async def cancel_run(self, request: Request) -> Response:
        run, now = request.params["id"], self._flow.clock.now()
        await self._flow.database.write(lambda conn: service.cancel_run(conn, run, now))
        return json_response({"id": run, "status": "cancelled"})

    async def purge(self, request: Request) -> Response:
        status = choice_of(request, "status", _RUN_STATUSES).get("status", "failed")
        if status not in service.RUN_ENDS:
            raise Fault(
                NOT_OFFERED,
                what=f"purging {status} job runs",
                why="such a run is what comes next or is under way, not history",
                instead="DELETE /api/v1/admin/jobs/ID cancels one of them",
            )
        age = _age(request)
        before = self._flow.clock.now() - age
        purged = await self._flow.database.write(
            lambda conn: service.purge_runs(conn, status, before)
        )
        return json_response(
            {"purged": purged, "status": status, "older_than": format_duration(age)}
        )

    async def _page(self, look: Callable[[Session], views.Json]) -> Response:
        return json_response(await self._flow.database.read(look, snapshot=True))


def _age(request: Request) -> float:
    text = one(request, "older_than")
    if not text:
        return PURGE_AGE
    try:
        age = parse_duration(text)
    except ValueError:
        age = -1.0
    if age < 0:
        raise Fault(BAD_QUERY, name="older_than", value=text, expected="a duration like 24h")
    return age
