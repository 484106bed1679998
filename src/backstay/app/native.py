"""Health and metrics on the app's own address, for a server that stands alone (C24, C25).

Behind the gateway these routes are the gateway's; it reads the control socket.
"""

from backstay.core.health import Board
from backstay.core.metrics import Registry
from backstay.core.web import Endpoint, Request, Response, json_response


def endpoints(board: Board, registry: Registry, *, guarded: bool = False) -> list[Endpoint]:
    """`/health`, `/health/live`, `/health/ready` and `/metrics`. None of them wants a token;
    `guarded` metrics are for admins."""

    async def health(_: Request) -> Response:
        report = board.report()
        return json_response(report, report.http_status)

    async def live(_: Request) -> Response:
        return json_response({"status": "healthy"})

    async def ready(_: Request) -> Response:
        found = board.ready()
        return json_response({"status": "healthy" if found else "unhealthy"}, 200 if found else 503)

    async def metrics(_: Request) -> Response:
        return Response(200, registry.render(), b"text/plain; version=0.0.4")

    return [
        Endpoint("GET", "/health", health),
        Endpoint("GET", "/health/live", live),
        Endpoint("GET", "/health/ready", ready),
        Endpoint("GET", "/metrics", metrics, scope="admin" if guarded else ""),
    ]
