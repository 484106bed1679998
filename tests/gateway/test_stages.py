"""Who is let in, and how much: the real judge, real tokens, real buckets."""

import asyncio

import pytest
import structlog

from backstay.core.clock import SystemClock
from backstay.core.context import ANONYMOUS, LOCAL, Principal, decode_principal
from backstay.core.settings import Secret
from backstay.core.tokens import Issuer, SharedSecret
from backstay.core.trust import Trust
from backstay.core.validators import Jwt
from backstay.core.virtual import VirtualClock

SECRET = Secret("a secret of at least thirty-two bytes")
CLOCK = SystemClock()


def token(*scopes, ttl=60.0, secret=SECRET):
    return Issuer(secret, "backstay", "backstay", CLOCK).mint("ann", scopes, ttl=ttl)


def validator():
    return Jwt(SharedSecret(SECRET), "backstay", "backstay", CLOCK)


def bearer(text):
    return f"Authorization: Bearer {text}\r\n"


async def ok(call):
    await call.answer()


def principal_of(server):
    return decode_principal(dict(server.calls[-1].headers)["x-backstay-principal"])


async def test_on_loopback_a_person_without_a_token_is_local(serve, proxy):
    server = await serve(ok)
    gateway = await proxy(server, judge=Trust.loopback(validator()))
    assert (await gateway.ask("GET", "/u/admin")).status == 200
    assert principal_of(server).kind == "local"


async def test_a_token_is_verified_and_its_principal_handed_on(serve, proxy):
    server = await serve(ok)
    gateway = await proxy(server, judge=Trust.strict(validator()))
    for _ in range(2):
        assert (await gateway.ask("GET", "/u", headers=bearer(token("orders")))).status == 200
        seen = principal_of(server)
        assert (seen.sub, seen.scopes) == ("ann", frozenset({"orders"}))


async def test_a_bad_token_never_falls_back(serve, proxy):
    server = await serve(ok)
    for judge in (Trust.strict(validator()), Trust.loopback(validator())):
        gateway = await proxy(server, judge=judge)
        for bad in (token(secret=Secret("x" * 40)), token(ttl=-100.0), "nonsense"):
            reply = await gateway.ask("GET", "/u", headers=bearer(bad))
            assert reply.status == 401
            assert reply.json()["code"].startswith("AUTH")
            assert reply.header("www-authenticate") == "Bearer"
    assert server.calls == []


async def test_routes_have_locks_of_their_own(serve, proxy):
    gateway = await proxy(await serve(ok), judge=Trust.strict(validator()))
    as_user, as_admin = bearer(token()), bearer(token("admin"))
    asked = [
        (await gateway.ask("GET", path, headers=who)).status
        for path in ("/u", "/u/token/x", "/u/admin/x")
        for who in ("", as_user, as_admin)
    ]
    assert asked == [200, 200, 200, 401, 200, 200, 401, 403, 200]


@pytest.mark.parametrize(
    "path", ["/u/%61dmin", "/u/admin", "/u%2Fadmin", "/u/admin%2Fx", "/u/admin?x"]
)
async def test_a_lock_cannot_be_walked_around_by_spelling(serve, proxy, path):
    gateway = await proxy(await serve(ok), judge=Trust.strict(validator()))
    assert (await gateway.ask("GET", path)).status == 401


async def test_a_page_of_another_site_is_refused(serve, proxy):
    server = await serve(ok)
    gateway = await proxy(server, judge=Trust.loopback(validator()))
    origin = await gateway.ask("POST", "/u", b"", "Origin: http://evil.example\r\n")
    assert origin.status == 403
    client = await gateway.connect()
    await client.send(b"GET /u HTTP/1.1\r\nHost: evil.example\r\n\r\n")
    assert (await client.reply()).status == 421
    assert server.calls == []


async def test_probes_pass_whatever_they_call_this_host(proxy):
    gateway = await proxy(judge=Trust.loopback(validator()))
    await gateway.board.step()
    for path in ("/livez", "/readyz", "/health", "/healthz", "/health/live"):
        client = await gateway.connect()
        await client.send(f"GET {path} HTTP/1.1\r\nHost: 10.1.2.3:8080\r\n\r\n".encode())
        assert (await client.reply()).status == 200, path


async def test_a_judgement_that_has_to_wait_goes_on_where_it_stopped(serve, proxy):
    class Thinking:
        async def judge(self, peer, method, headers):
            for _ in range(3):
                await asyncio.sleep(0.005)
            async with asyncio.timeout(1):
                await asyncio.sleep(0.005)
            return Principal("user", sub="late")

    server = await serve(ok)
    gateway = await proxy(server, judge=Thinking())
    client = await gateway.connect()
    await client.send(b"GET /u HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
    assert [(await client.reply()).status for _ in range(3)] == [200] * 3
    assert principal_of(server).sub == "late"


async def test_a_client_that_leaves_stops_a_judgement(serve, proxy, eventually):
    stopped = asyncio.Event()

    class Endless:
        async def judge(self, peer, method, headers):
            try:
                await asyncio.sleep(60)
            finally:
                stopped.set()

    server = await serve(ok)
    gateway = await proxy(server, judge=Endless())
    client = await gateway.connect()
    await client.send(b"GET /u HTTP/1.1\r\nHost: x\r\n\r\n")
    await eventually(lambda: gateway.parts.gateway.gate.in_flight == 1)
    client.close()
    async with asyncio.timeout(2):
        await stopped.wait()
    assert server.calls == []


@pytest.mark.parametrize(
    ("principal", "passes"),
    [
        (LOCAL, True),
        (ANONYMOUS, False),
        (Principal("user", sub="ann"), False),
        (Principal("user", sub="root", scopes=frozenset({"admin"})), True),
    ],
)
async def test_debug_passes_only_from_those_who_may(serve, proxy, principal, passes):
    class Fixed:
        async def judge(self, peer, method, headers):
            return principal

    server = await serve(ok)
    gateway = await proxy(server, judge=Fixed())
    await gateway.ask("GET", "/u", headers="X-Debug: true\r\n")
    assert ("x-debug" in dict(server.calls[0].headers)) is passes


async def test_a_caller_over_the_rate_waits_and_others_do_not(serve, proxy):
    clock = VirtualClock()

    class ByHeader:
        async def judge(self, peer, method, headers):
            return Principal("user", sub=headers["x-who"])

    gateway = await proxy(
        await serve(ok), judge=ByHeader(), clock=clock, rate_limit=1.0, rate_burst=3
    )

    async def ask(who):
        return await gateway.ask("GET", "/u", headers=f"X-Who: {who}\r\n")

    got = [await ask("ann") for _ in range(4)]
    assert [reply.status for reply in got] == [200, 200, 200, 429]
    assert [reply.header("ratelimit-remaining") for reply in got] == ["2", "1", "0", "0"]
    assert {reply.header("ratelimit-limit") for reply in got} == {"3"}
    assert got[3].header("retry-after") == "1"
    assert (await ask("bob")).status == 200
    clock.advance_now(1.1)
    assert (await ask("ann")).status == 200
    assert (await ask("ann")).status == 429


async def test_the_access_log_says_who_asked_what_of_whom_and_how_long(serve, proxy):
    gateway = await proxy(await serve(ok), judge=Trust.strict(validator()))
    with structlog.testing.capture_logs() as lines:
        reply = await gateway.ask("GET", "/u/x?secret=1", headers=bearer(token()))
        gateway.parts.access.flush()
    line = next(line for line in lines if line["event"] == "http request")
    assert line["request_id"] == reply.header("x-request-id")
    assert (line["method"], line["path"], line["status"]) == ("GET", "/u/x", 200)
    assert (line["user_id"], line["upstream"]) == ("ann", "up")
    phases = line["connect_ms"] + line["first_byte_ms"] + line["body_ms"]
    assert phases == pytest.approx(line["duration"], abs=0.01)
    assert "secret" not in str(line)
