"""Statements of the platform's list, against the gateway as a process of its own."""

import asyncio
import json

import pytest

NOBODY = "unix:/nowhere/at.all"


async def ok(call):
    await call.answer(b"hello")


async def breakers(command):
    report = (await command.ask("GET", "/health")).json()
    return report["checks"]["circuit_breaker"]["details"]


async def half_open(command, name="up"):
    async with asyncio.timeout(5):
        while (await breakers(command))[name]["state"] != "half_open":
            await asyncio.sleep(0.01)


def facts(reply):
    body = reply.json()
    assert body["instance"] == f"urn:backstay:request:{reply.header('x-request-id')}"
    return reply.status, body["values"]["upstream"], body["values"]["phase"]


@pytest.mark.seed("G8")
async def test_g8_a_deadline_is_a_504_in_time_with_the_connection_closed(serve, command):
    closed = asyncio.Event()

    async def silent(call):
        await call.reader.read()
        closed.set()

    server = await serve(silent)
    await command.serve(
        GATEWAY_UPSTREAMS=command.table(server),
        GATEWAY_UNARY_TIMEOUT="400ms",
        GATEWAY_POOL_SIZE="1",
    )
    loop = asyncio.get_running_loop()
    for _ in range(2):  # one slot: the second could not be asked if the first still held it
        began = loop.time()
        assert facts(await command.ask("GET", "/u")) == (504, "up", "first_byte")
        assert 0.39 <= loop.time() - began < 0.4 + 0.25
        async with asyncio.timeout(2):
            await closed.wait()
        closed.clear()
    text = (await command.ask("GET", "/metrics")).body.decode()
    assert 'gateway_pool_in_use{system="gateway",upstream="up"} 0' in text
    assert 'gateway_pool_idle{system="gateway",upstream="up"} 0' in text


@pytest.mark.seed("G9")
async def test_g9_health_shows_each_breaker_with_state_counts_and_times(serve, command):
    async def bad(call):
        await call.answer(b"", status=503)

    await command.serve(
        GATEWAY_UPSTREAMS=command.table(await serve(bad), await serve(ok)),
        GATEWAY_BREAKER_OPEN="300ms",
    )
    for _ in range(6):
        await command.ask("GET", "/u")
    await command.ask("GET", "/u1")

    seen = await breakers(command)
    assert (seen["up"]["state"], seen["up1"]["state"]) == ("open", "closed")
    assert (seen["up"]["consecutive_failures"], seen["up"]["total_failures"]) == (5, 5)
    assert seen["up"]["opened_at"] < seen["up"]["next_probe_at"]
    await half_open(command)


@pytest.mark.seed("G10")
async def test_g10_the_breaker_opens_rejects_probes_reopens_and_closes(serve, command, eventually):
    status = 503
    gate = asyncio.Event()
    gate.set()

    async def moody(call):
        await gate.wait()
        await call.answer(b"x", status=status)

    server = await serve(moody)
    await command.serve(GATEWAY_UPSTREAMS=command.table(server), GATEWAY_BREAKER_OPEN="600ms")
    assert [(await command.ask("GET", "/u")).status for _ in range(5)] == [503] * 5
    refused = await command.ask("GET", "/u")
    assert (refused.status, refused.json()["code"], len(server.calls)) == (503, "GATE014", 5)
    assert int(refused.header("retry-after")) >= 1
    # A probe that fails opens it again.
    await half_open(command)
    assert (await command.ask("GET", "/u")).body == b"x"
    assert len(server.calls) == 6
    assert (await command.ask("GET", "/u")).json()["code"] == "GATE014"
    assert len(server.calls) == 6
    # Well again: a bounded number of probes, then closed for all.
    status = 200
    await half_open(command)
    gate.clear()
    probes = [asyncio.ensure_future(command.ask("GET", "/u")) for _ in range(8)]
    await eventually(lambda: sum(probe.done() for probe in probes) == 5)
    await eventually(lambda: len(server.calls) >= 9)
    assert len(server.calls) == 9
    gate.set()
    assert sorted([(await probe).status for probe in probes]) == [200] * 3 + [503] * 5
    assert [(await command.ask("GET", "/u")).status for _ in range(10)] == [200] * 10


@pytest.mark.seed("G13")
async def test_g13_every_failure_has_its_own_status_and_is_logged_with_its_cause(
    serve, command, folder, eventually
):
    async def reset(call):
        call.writer.transport.abort()

    async def nonsense(call):
        await call.say(b"SSH-2.0-OpenSSH\r\n\r\n")

    async def silent(call):
        await asyncio.sleep(30)

    async def busy(call):
        await asyncio.sleep(30)

    servers = [await serve(script) for script in (ok, reset, nonsense, silent, busy)]
    await servers[0].stop()
    serving = await command.serve(
        GATEWAY_UPSTREAMS=command.table(*servers),
        GATEWAY_UNARY_TIMEOUT="500ms",
        GATEWAY_POOL_SIZE="1",
        GATEWAY_POOL_WAIT="50ms",
        GATEWAY_BREAKER_FAILURES="2",
        GATEWAY_DRAIN_DELAY="500ms",
    )
    refused, broken, invalid, late = [await command.ask("GET", f"/u{n}") for n in ("", 1, 2, 3)]
    holding = asyncio.ensure_future(command.ask("GET", "/u4"))
    await eventually(lambda: servers[4].calls)
    overload = await command.ask("GET", "/u4")
    await holding
    await command.ask("GET", "/u")
    tripped = await command.ask("GET", "/u")
    serving.terminate()
    draining = await _until(command, 503)
    replies = [refused, broken, invalid, late, overload, tripped, draining]
    assert [reply.status for reply in replies] == [502, 502, 502, 504, 503, 503, 503]
    out, _ = await serving.communicate()
    lines = [json.loads(line) for line in out.splitlines()]
    logged = {line["request_id"]: line for line in lines if line["msg"] == "http request"}
    seen = [logged[reply.header("x-request-id")] for reply in replies]
    assert {line["level"] for line in seen} == {"error"}
    assert [line["cause"] for line in seen] == [
        "missing",
        "reset",
        "invalid",
        "timeout",
        "overload",
        "breaker_open",
        "draining",
    ]


@pytest.mark.seed("G5")
async def test_g5_one_call_shows_every_system_with_state_latency_and_last_error(folder, command):
    listen = ("--listen", f"unix:{folder}/queue.sock", "--data", str(folder / "data"))
    queue = await command.ready(await command.start_module("codeq_server", *listen))
    await command.serve()

    async def health(wanted):
        async with asyncio.timeout(10):
            while True:
                report = (await command.ask("GET", "/health")).json()
                if report["checks"]["queue"]["status"] == wanted:
                    return report
                await asyncio.sleep(0.05)

    report = await health("healthy")
    assert (report["status"], report["checks"]["app"]["status"]) == ("healthy", "skipped")
    assert report["checks"]["queue"]["duration"].endswith("s")
    assert report["checks"]["database"]["status"] == "healthy"
    queue.kill()
    await queue.wait()
    report = await health("unhealthy")
    assert report["status"] == "degraded"
    assert "nobody listens" in report["checks"]["queue"]["error"]
    assert (await command.ask("GET", "/v1/codeq/tasks/x")).status == 502


async def _until(command, status):
    """The first answer of this status; the gateway may need a moment to begin its drain."""
    async with asyncio.timeout(5):
        while True:
            reply = await command.ask("GET", "/livez")
            if reply.status == status:
                return reply
            await asyncio.sleep(0.02)
