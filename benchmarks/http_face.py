"""CPU per request of Backstay's HTTP face beside Starlette with the same duties, on one server.

    python benchmarks/http_face.py [RUNS]

Needs `wrk` and `starlette`. Both sides: granian embedded, uvloop, 60 routes, a request id made and
sent back, a request context, one parameter, a small JSON answer. Prints the median of RUNS (5).
"""

import os
import re
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import structlog
import uvloop

from backstay.core.asgi import App
from backstay.core.clock import SystemClock, Uuid7
from backstay.core.context import LOCAL, Principal, RequestContext
from backstay.core.web import Endpoint, Request, Response, json_response

SECONDS = 4
ROUTES = [*(f"/r{number}/{{id}}/sub" for number in range(59)), "/things/{id}"]
IDS = Uuid7(SystemClock())


class Nobody:
    async def judge(self, peer: str, method: str, headers: object) -> Principal:
        return LOCAL

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counting is measured elsewhere."""


def ours() -> object:
    async def thing(request: Request) -> Response:
        return json_response({"id": request.params["id"], "ok": True})

    endpoints = [Endpoint("GET", path, thing) for path in ROUTES]
    return App("bench", endpoints, Nobody(), SystemClock(), IDS, Nobody())


def peer() -> object:
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.responses import Response as Answer
    from starlette.routing import Route

    async def thing(request):
        body = msgspec.json.encode({"id": request.path_params["id"], "ok": True})
        return Answer(body, media_type="application/json")

    class Duties:
        def __init__(self, app):
            self.app = app

        async def __call__(self, scope, receive, send):
            given = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
            request_id = given.get("x-request-id") or IDS.new()
            scope["state"] = {"ctx": RequestContext(request_id, LOCAL)}
            structlog.contextvars.bind_contextvars(request_id=request_id)

            async def with_id(message):
                if message["type"] == "http.response.start":
                    message["headers"].append((b"x-request-id", request_id.encode()))
                await send(message)

            await self.app(scope, receive, with_id)
            structlog.contextvars.unbind_contextvars("request_id")

    return Starlette(routes=[Route(p, thing) for p in ROUTES], middleware=[Middleware(Duties)])


def serve(which: str, port: int) -> None:
    import logging

    from granian.constants import Interfaces
    from granian.server.embed import Server

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    app = ours() if which == "backstay" else peer()

    async def run() -> None:
        await Server(app, port=port, interface=Interfaces.ASGINL, log_enabled=False).serve()

    uvloop.run(run())


def one_run(which: str) -> tuple[float, float]:
    """(CPU µs per request, requests per second) of the server process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen([sys.executable, __file__, "serve", which, str(port)])
    try:
        wait_for(port)
        before = cpu_seconds(server.pid)
        text = subprocess.run(
            ["wrk", "-t1", "-c16", f"-d{SECONDS}s", f"http://127.0.0.1:{port}/things/7"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        used = cpu_seconds(server.pid) - before
    finally:
        server.terminate()
        server.wait()
    total = int(re.search(r"(\d+) requests in", text)[1])
    return used / total * 1e6, total / SECONDS


def wait_for(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise SystemExit(f"nothing listens on {port}")


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main(runs: int) -> None:
    rows: dict[str, list[tuple[float, float]]] = {"backstay": [], "starlette": []}
    for _ in range(runs):
        for which, seen in rows.items():
            seen.append(one_run(which))
    print(f"{'face':12} {'CPU µs/request':>15} {'requests/s':>12}   median of {runs}")
    for which, seen in rows.items():
        cpu, rate = (statistics.median(column) for column in zip(*seen, strict=True))
        print(f"{which:12} {cpu:15.1f} {rate:12.0f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(sys.argv[2], int(sys.argv[3]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
