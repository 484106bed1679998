"""What the gateway serves itself, and what it says of the systems behind it."""

import asyncio

import pytest

from backstay.core.breaker import Breaker, BreakerSettings
from backstay.core.clock import SystemClock
from backstay.core.context import ANONYMOUS, Principal
from backstay.core.control import ControlServer, Reply, json_reply
from backstay.core.health import Board, Check, Finding
from backstay.gateway.settings import RouteSpec, Upstream


class System:
    """The control socket of a system, with a real board and a real breaker behind it."""

    def __init__(self, folder, name, findings):
        clock = SystemClock()
        self.findings = findings
        self.breaker = Breaker("payments", clock, BreakerSettings(failure_threshold=1))
        checks = [Check(part, True, 1.0, 0.0, self._finder(part)) for part in findings]
        self.board = Board(clock, "1.0", checks)
        self.silent = asyncio.Event()
        self.silent.set()
        self.pid = 100
        routes = {
            "GET /live": self._live,
            "GET /checks": self._checks,
            "GET /breakers": self._breakers,
            "GET /metrics": self._metrics,
            "POST /breakers/{}/reset": self._reset,
        }
        self.server = ControlServer(folder / f"{name}.ctl", routes)
        self.upstream = Upstream(
            name=name,
            address=f"unix:{folder}/{name}.sock",
            control=str(self.server.path),
            routes=(RouteSpec(f"/{name}"),),
        )

    def _finder(self, part):
        async def run():
            return self.findings[part]

        return run

    async def _live(self, _, __):
        return json_reply({"name": "system", "pid": self.pid, "ready": True})

    async def _checks(self, _, __):
        await self.silent.wait()
        await self.board.step()
        return json_reply(self.board.report())

    async def _breakers(self, _, __):
        return json_reply([self.breaker.view()])

    async def _metrics(self, _, __):
        return Reply(b"# TYPE tasks gauge\ntasks 7\n", "text/plain; version=0.0.4")

    async def _reset(self, target, _):
        assert target == self.breaker.target
        self.breaker.reset()
        return json_reply(self.breaker.view())


@pytest.fixture
async def two_systems(folder, proxy):
    """(gateway, queue, app): both healthy."""
    queue = System(folder, "queue", {"store": Finding("pass", {"size": 1})})
    app = System(folder, "app", {"database": Finding("pass")})
    for system in (queue, app):
        await system.server.start()
    gateway = await proxy(upstreams=(queue.upstream, app.upstream))
    yield gateway, queue, app
    for system in (queue, app):
        await system.server.stop()


async def checked(gateway):
    """Let every check of the gateway run once, now."""
    board = gateway.board
    board._found.clear()
    await board.step()
    return (await gateway.ask("GET", "/health")).json()


async def test_health_shows_each_system_with_state_latency_and_last_error(two_systems):
    gateway, queue, _ = two_systems
    report = await checked(gateway)
    assert report["status"] == "healthy"
    assert report["checks"].keys() == {"queue", "app", "database", "cache", "circuit_breaker"}
    assert report["checks"]["database"]["details"].keys() == {"queue", "app"}
    assert report["checks"]["cache"]["status"] == "skipped"
    queue.findings["store"] = Finding("fail", error="disk I/O error")
    report = await checked(gateway)
    assert report["status"] == "degraded"
    entry = report["checks"]["queue"]
    assert (entry["status"], entry["error"]) == ("unhealthy", "store: disk I/O error")
    assert entry["duration"].endswith("s")
    assert report["checks"]["database"]["error"] == "queue: disk I/O error"
    assert report["checks"]["app"]["status"] == "healthy"


async def test_health_answers_at_once_while_systems_hang_or_are_gone(two_systems):
    gateway, queue, app = two_systems
    queue.silent.clear()
    await app.server.stop()
    report = await checked(gateway)
    assert report["checks"]["queue"]["error"] == "no answer within 1s"
    assert report["checks"]["app"]["status"] == "unhealthy"
    client = await gateway.connect()
    loop = asyncio.get_running_loop()
    asking = asyncio.ensure_future(gateway.board.step())
    took = []
    for _ in range(20):
        began = loop.time()
        assert (await client.ask("GET", "/health")).status == 200
        took.append(loop.time() - began)
    assert sorted(took)[10] < 0.005
    queue.silent.set()
    await asking


async def test_a_critical_system_that_fails_makes_health_503(folder, proxy):
    system = System(folder, "queue", {"database": Finding("fail", error="gone")})
    await system.server.start()
    critical = Upstream(**{**_fields(system.upstream), "critical": True})
    gateway = await proxy(upstreams=(critical,))
    await gateway.board.step()
    assert (await gateway.ask("GET", "/health")).status == 503
    assert (await gateway.ask("GET", "/health/ready")).status == 503
    assert (await gateway.ask("GET", "/health/live")).status == 200
    system.findings["database"] = Finding("pass")
    gateway.board._found.clear()
    await gateway.board.step()
    assert (await gateway.ask("GET", "/health")).status == 200
    assert (await gateway.ask("GET", "/readyz")).status == 200
    await system.server.stop()


async def test_health_shows_every_breaker_of_every_process(two_systems):
    gateway, _, app = two_systems
    await checked(gateway)
    app.breaker.fail(app.breaker.admit(), "connection refused")
    for _ in range(5):
        assert (await gateway.ask("GET", "/queue")).status == 502
    report = await checked(gateway)
    breakers = report["checks"]["circuit_breaker"]["details"]
    assert breakers.keys() == {"queue", "app", "queue/payments", "app/payments"}
    own, far = breakers["queue"], breakers["app/payments"]
    assert (own["state"], own["consecutive_failures"], own["total_failures"]) == ("open", 5, 5)
    assert own["opened_at"] < own["next_probe_at"]
    assert (far["state"], far["reason"]) == ("open", "connection refused")
    assert breakers["app"]["state"] == "closed"
    assert report["status"] == "degraded"


async def test_a_breaker_of_a_system_is_reset_through_its_control_socket(two_systems):
    gateway, _, app = two_systems
    app.breaker.fail(app.breaker.admit(), "connection refused")
    await checked(gateway)
    reply = await gateway.ask("POST", "/v1/gateway/breakers/app/payments/reset")
    assert (reply.status, reply.json()["state"]) == (200, "closed")
    assert app.breaker.state == "closed"
    unknown = await gateway.ask("POST", "/v1/gateway/breakers/app/nothing/reset")
    assert (unknown.status, unknown.json()["code"]) == (404, "GATE025")


async def test_metrics_of_all_systems_carry_their_system(two_systems):
    gateway, _, app = two_systems
    await gateway.ask("GET", "/livez")
    text = (await gateway.ask("GET", "/metrics")).body.decode()
    assert 'tasks{system="queue"} 7' in text
    assert 'tasks{system="app"} 7' in text
    assert 'http_requests_total{system="gateway",method="GET",path="/livez",status="200"} 1' in text
    await app.server.stop()
    text = (await gateway.ask("GET", "/metrics")).body.decode()
    assert 'tasks{system="queue"} 7' in text
    assert 'tasks{system="app"}' not in text


async def test_metric_paths_are_routes_and_never_what_a_client_made_up(serve, proxy):
    async def ok(call):
        await call.answer()

    gateway = await proxy(await serve(ok))
    for n in range(20):
        await gateway.ask("GET", f"/u/{n}")
        await gateway.ask("GET", f"/made/up/{n}")
    text = (await gateway.ask("GET", "/metrics")).body.decode()
    paths = {
        line.split('path="')[1].split('"')[0] for line in text.splitlines() if 'path="' in line
    }
    assert paths == {"/u", "unmatched"}


async def test_an_unknown_path_is_a_404_that_names_what_is_known(proxy):
    reply = await (await proxy()).ask("GET", "/v2/unknown")
    assert reply.status == 404
    assert {"/u", "/health", "/metrics"} <= set(reply.json()["values"]["prefixes"].split(", "))


async def test_the_root_lists_what_is_served(proxy):
    reply = await (await proxy()).ask("GET", "/")
    routes = reply.json()["routes"]
    assert {"prefix": "/l", "upstream": "up", "kind": "long", "auth": "public"} in routes


async def test_a_wrong_method_on_an_own_route_is_a_405_with_allow(proxy):
    gateway = await proxy()
    reply = await gateway.ask("POST", "/health", b"")
    assert (reply.status, reply.header("allow")) == (405, "GET, HEAD")
    assert (await gateway.ask("GET", "/v1/gateway/breakers/up/reset")).status == 405


async def test_head_works_on_own_routes(proxy):
    client = await (await proxy()).connect()
    for _ in range(2):
        reply = await client.ask("HEAD", "/livez")
        assert (reply.status, int(reply.header("content-length")) > 0) == (200, True)


@pytest.mark.parametrize(
    ("principal", "status"),
    [
        (ANONYMOUS, 401),
        (Principal("user", sub="ann"), 403),
        (Principal("user", sub="root", scopes=frozenset({"admin"})), 200),
    ],
)
async def test_only_an_administrator_resets_a_breaker(proxy, principal, status):
    judged = await proxy(judge=Fixed(principal))
    reply = await judged.ask("POST", "/v1/gateway/breakers/up/reset")
    assert reply.status == status
    assert (reply.header("www-authenticate") == "Bearer") == (status == 401)


class Fixed:
    def __init__(self, principal):
        self.principal = principal

    async def judge(self, peer, method, headers):
        return self.principal


def _fields(upstream):
    return {name: getattr(upstream, name) for name in upstream.__struct_fields__}


async def test_an_open_breaker_closes_when_another_process_of_the_system_is_ready(two_systems):
    gateway, _, app = two_systems
    await checked(gateway)
    breaker = gateway.parts.breakers["app"]
    for _ in range(5):
        breaker.fail(breaker.admit(), "refused")
    await checked(gateway)
    assert breaker.state == "open"
    app.pid += 1
    await checked(gateway)
    assert breaker.state == "closed"
