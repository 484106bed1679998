"""Result callbacks: for every end, signed, at least once, and nobody held up by a dead receiver."""

import asyncio
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.queue.loops import Yard, until
from tests.queue.receiver import Receiver, endless, hanging, in_turn, no_http, status
from tests.queue.support import Server, serving
from tests.queue.support import until as poll
from tests.queue.test_auth import KEY, minted

from backstay.core.control import ask
from backstay.core.runtime import find_runtime
from backstay.core.service import Service
from backstay.core.tracing import TracingSettings, make_tracer
from backstay.queue.health import callbacks_check
from backstay.queue.loops.callbacks import Tries
from backstay.queue.model import Task
from backstay.queue.operations import Cancel, Nack, Redrive
from backstay.queue.webhooks import verify

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CLOSED = "http://127.0.0.1:9/closed"


# --- what is told, and when ------------------------------------------------------------------


async def test_a_result_is_told_with_all_fields_and_a_signature_that_verifies():
    with Receiver() as receiver:
        async with Yard(secret="s3cret").running() as yard:
            task = await yard.end(f"{receiver.url}/hook?a=1", trace=TRACE)
            await until(lambda: receiver.calls)
            now = yard.clock.now()
            await until(lambda: _none(yard.waiting()))
    [call] = receiver.calls
    assert call.path == "/hook?a=1"
    assert call.json == {
        "taskId": task.id,
        "eventType": "PACK",
        "status": "COMPLETED",
        "result": {"n": 1},
        "error": "",
        "artifacts": [],
        "completedAt": call.json["completedAt"],
    }
    assert call.headers["content-type"] == "application/json"
    assert call.headers["traceparent"] == TRACE
    timestamp, signature = call.headers["x-codeq-timestamp"], call.headers["x-codeq-signature"]
    assert verify("s3cret", timestamp, call.body, signature, now)
    assert not verify("other", timestamp, call.body, signature, now)
    assert not verify("s3cret", timestamp, call.body + b" ", signature, now)
    assert not verify("s3cret", timestamp, call.body, signature, now + 301)
    assert not verify("s3cret", str(int(timestamp) + 1), call.body, signature, now)


@pytest.mark.parametrize("timestamp", ["", "soon", "1e9", "²", "-1", "nan"])
def test_a_malformed_timestamp_is_no_signature(timestamp: str):
    assert not verify("s", timestamp, b"{}", "0" * 64, 0.0)


def test_an_empty_secret_verifies_nothing():
    assert not verify(
        "", "0", b"", "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad", 0.0
    )


async def test_without_a_secret_calls_are_not_signed():
    with Receiver() as receiver:
        async with Yard().running() as yard:
            await yard.end(receiver.url)
            await until(lambda: receiver.calls)
    assert "x-codeq-signature" not in receiver.calls[0].headers


async def test_with_tracing_on_the_call_is_a_span_of_the_creators_trace():
    settings = TracingSettings(tracing_enabled=True, tracing_otlp_endpoint="http://127.0.0.1:9")
    tracer = make_tracer(settings, "queue")
    with Receiver() as receiver:
        async with Yard(tracer=tracer).running() as yard:
            await yard.end(receiver.url, trace=TRACE)
            await until(lambda: receiver.calls)
    assert isinstance(tracer, Service)
    await tracer.stop()
    version, trace, span, _ = receiver.calls[0].headers["traceparent"].split("-")
    assert [version, trace] == TRACE.split("-")[:2]
    assert span != TRACE.split("-")[2]


async def test_weakness_11_every_way_to_end_is_told():
    with Receiver() as receiver:
        async with Yard().running() as yard:
            ended = await _end_in_every_way(yard, receiver.url)
            await until(lambda: len(receiver.calls) == len(ended))
    told = {body["eventType"]: (body["status"], body["error"]) for body in receiver.bodies}
    assert told == {
        "DONE": ("COMPLETED", ""),
        "FAILS": ("FAILED", "it broke"),
        "NACKED": ("FAILED", "no more"),
        "CANCELLED": ("CANCELLED", "not needed"),
        "LEASED": ("CANCELLED", "stop"),
        "EXPIRED": ("FAILED", "LEASE_EXPIRED"),
    }
    assert {body["taskId"] for body in receiver.bodies} == ended


async def _end_in_every_way(yard: Yard, url: str) -> set[str]:
    done = [await yard.create(name, webhook=url, max_attempts=1) for name in ("DONE", "FAILS")]
    await yard.finish(await yard.claim("DONE"))
    await yard.finish(await yard.claim("FAILS"), ok=False, result="", error="it broke")
    done.append(await yard.create("NACKED", webhook=url, max_attempts=1))
    nacked = await yard.claim("NACKED")
    await yard.one(Nack(nacked.tenant, nacked.id, "w", nacked.lease_token, "no more"))
    done.append(await yard.create("CANCELLED", webhook=url))
    await yard.one(Cancel("default", done[-1].id, "not needed"))
    done.append(await yard.create("LEASED", webhook=url))
    await yard.claim("LEASED")
    await yard.one(Cancel("default", done[-1].id, "stop"))
    done.append(await yard.create("EXPIRED", webhook=url, max_attempts=1))
    await yard.claim("EXPIRED", lease=0.05)
    return {task.id for task in done}


async def test_a_redriven_task_is_told_again_at_its_next_end_and_not_of_the_former():
    with Receiver(hanging(lambda: receiver)) as receiver:
        async with Yard(seconds=0.2).running() as yard:
            task = await yard.create(webhook=receiver.url)
            await yard.one(Cancel("default", task.id))
            await until(lambda: receiver.calls)
            receiver.behave = status(200)
            assert isinstance(await yard.one(Redrive("default", task.id)), Task)
            await yard.finish(await yard.claim())
            await until(lambda: "COMPLETED" in [body["status"] for body in receiver.bodies])
            await until(lambda: _none(yard.waiting()))
    first, *others = [body["status"] for body in receiver.bodies]
    assert (first, set(others)) == ("CANCELLED", {"COMPLETED"})


# --- tries -----------------------------------------------------------------------------------


async def test_a_failed_call_is_tried_again_with_the_same_delivery_until_a_2xx():
    with Receiver(in_turn(status(500), status(404), status(299))) as receiver:
        async with Yard().running() as yard:
            await yard.end(receiver.url)
            await until(lambda: len(receiver.calls) == 3)
            await until(lambda: _none(yard.waiting()))
            assert await yard.given_up() == []
    assert len({call.headers["x-codeq-delivery"] for call in receiver.calls}) == 1


async def test_after_the_last_try_it_is_given_up_with_its_error_and_a_person_may_retry():
    from backstay.queue.service.callbacks import CallbackAdmin

    with Receiver(status(400)) as receiver:
        async with Yard().running() as yard:
            task = await yard.end(receiver.url)
            [kept] = await until(yard.given_up)
            assert (kept.task_id, kept.attempts) == (task.id, 3)
            assert kept.error == "it answered 400"
            assert len(receiver.calls) == 3
            receiver.behave = status(202)
            people = CallbackAdmin(yard.engine, yard.clock, yard.callbacks.wake.set)
            await people.retry("default", kept.id)
            await until(lambda: _none(yard.waiting()))
            assert await yard.given_up() == []
    assert len(receiver.calls) == 4


def test_tries_back_off_as_in_codeq():
    tries = Tries(most=9, base=2.0, cap=60.0)
    assert [tries.delay(n) for n in range(1, 8)] == [2, 4, 8, 16, 32, 60, 60]
    assert Tries(most=5000).delay(4000) == 60


async def test_weakness_11_a_call_that_was_not_settled_is_made_again_by_the_next_process():
    """The process dies between the call and its settlement."""
    with Receiver() as receiver:
        yard = Yard(seconds=0.1)

        async def dies(*_: object) -> None:
            raise SystemError("killed here")

        yard.callbacks._settle = dies  # type: ignore[method-assign]
        async with yard.running():
            await yard.end(receiver.url)
            await until(lambda: receiver.calls)
        died = len(receiver.calls)
        async with Yard(yard.engine).running() as again:
            await until(lambda: len(receiver.calls) > died)
            await until(lambda: _none(again.waiting()))
    assert len({(call.body, call.headers["x-codeq-delivery"]) for call in receiver.calls}) == 1


async def test_a_wall_clock_set_back_does_not_stall_what_waits_for_its_next_try():
    from backstay.core.clock import SystemClock

    class Jumping(SystemClock):
        by = 0.0

        def now(self) -> float:
            return super().now() + self.by

    clock = Jumping()
    with Receiver(in_turn(status(503), status(200))) as receiver:
        async with Yard(clock=clock, tries=Tries(3, 0.3, 0.3)).running() as yard:
            await yard.end(receiver.url)
            await until(lambda: receiver.calls)
            clock.by = -3600.0
            yard.callbacks.wake.set()
            await until(lambda: len(receiver.calls) == 2)


# --- receivers that are no friends -----------------------------------------------------------


@pytest.mark.parametrize("code", [301, 302, 307, 308])
async def test_weakness_16_redirects_are_not_followed(code: int):
    with Receiver() as inside, Receiver(status(code, Location=inside.url)) as receiver:
        async with Yard().running() as yard:
            await yard.end(receiver.url)
            [kept] = await until(yard.given_up)
    assert kept.error == f"it answered {code}"
    assert inside.calls == []


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "10.0.0.1",
        "0x7f000001",
    ],
)
async def test_weakness_16_addresses_that_are_not_public_are_never_connected_to(host: str):
    with Receiver() as receiver:
        async with Yard(allow=(), tries=Tries(3, 60.0, 60.0)).running() as yard:
            await yard.end(f"http://{host}:{receiver.port}/")
            [kept] = await until(yard.given_up)
    assert kept.error.startswith("CORE036"), kept.error
    assert kept.attempts == 1, "what is not allowed is not tried again"
    assert receiver.calls == []


@pytest.mark.parametrize("host", ["2130706433", "127.1", "0177.0.0.1", "0x7f.1"])
async def test_weakness_16_other_spellings_of_this_machine_are_not_connected_to_either(host: str):
    with Receiver() as receiver:
        async with Yard(allow=()).running() as yard:
            await yard.end(f"http://{host}:{receiver.port}/")
            [kept] = await until(yard.given_up)
    assert kept.error.startswith(("CORE036", "CORE038")), kept.error
    assert receiver.calls == []


async def test_credentials_in_an_address_are_not_told_in_errors():
    async with Yard().running() as yard:
        await yard.end("http://anna:s3same@127.1:9/")
        await yard.end("http://anna:s3same@127.0.0.1:9/")
        first, second = await until(lambda: _both_given_up(yard))
    for kept in (first, second):
        assert kept.error
        assert "s3same" not in kept.error


async def _both_given_up(yard: Yard) -> Any:
    found = await yard.given_up()
    return found if len(found) == 2 else None


async def test_a_receiver_that_promises_ten_gigabytes_has_said_200_all_the_same():
    with Receiver(endless) as receiver:
        async with Yard().running() as yard:
            await yard.end(receiver.url)
            await until(lambda: receiver.calls)
            await until(lambda: _none(yard.waiting()))
            assert await yard.given_up() == []
    assert len(receiver.calls) == 1


@pytest.mark.parametrize("lie", [no_http, hanging(lambda: _hung[0])], ids=["no http", "hangs"])
async def test_what_is_no_answer_counts_as_a_failed_try(lie):
    with Receiver(lie) as receiver:
        _hung[:] = [receiver]
        async with Yard(seconds=0.2).running() as yard:
            await yard.end(receiver.url)
            [kept] = await until(yard.given_up)
    assert kept.attempts == 3
    assert receiver.calls
    assert kept.error.startswith("CORE03")


_hung: list[Receiver] = []


async def test_dead_receivers_hold_up_nobody():
    """Sixty hosts take the call and never answer; hundreds of calls wait for them."""
    dead = [_silent_socket() for _ in range(60)]
    with Receiver() as receiver:
        async with Yard(seconds=2.0).running() as yard:
            for _ in range(5):
                for sock in dead:
                    await yard.end(f"http://127.0.0.1:{sock.getsockname()[1]}/")
            for _ in range(50):
                await yard.end(receiver.url)
            await until(lambda: len(receiver.calls) == 50)
            waiting = await yard.waiting()
    assert len(waiting) >= 200, "the dead are still waited for"
    for sock in dead:
        sock.close()


def _silent_socket() -> socket.socket:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(100)
    return sock


async def test_a_host_that_refuses_is_spared_by_a_breaker_and_its_calls_lose_no_tries():
    async with Yard(tries=Tries(2, 0.01, 0.01)).running() as yard:
        for _ in range(20):
            await yard.end(CLOSED)
        await until(lambda: yard.breakers and yard.breakers["127.0.0.1:9"].state == "open")
        told = await callbacks_check(yard.callbacks, yard.engine).run()
        assert (told.outcome, told.facts["spared"]) == ("warn", ["127.0.0.1:9"])
        untried = [one for one in await yard.waiting() if one.attempts == 0]
        assert len(untried) >= 10
        # A person who has mended it need not wait for the next probe.
        yard.breakers["127.0.0.1:9"].reset()
        yard.callbacks.wake.set()
        await until(lambda: _changed(yard, len(untried)))


async def _changed(yard: Yard, before: int) -> bool:
    return len([one for one in await yard.waiting() if one.attempts == 0]) < before


async def test_a_thousand_ends_at_once_are_told_without_a_round_of_waiting():
    """More than stand in the row of a host that nobody knows: what finds no place there comes again
    only after the time for which it was taken, which here is longer than the test waits."""
    with Receiver() as receiver:
        async with Yard(seconds=15.0).running() as yard:
            await yard.end(receiver.url)
            await until(lambda: _none(yard.waiting()))
            for _ in range(1000):
                await yard.end(receiver.url)
            await until(lambda: len(receiver.calls) == 1001, 40.0)


async def test_a_receiver_that_hangs_does_not_keep_the_process(tmp_path):
    with Receiver(hanging(lambda: receiver)) as receiver, serving(tmp_path / "data") as server:
        _complete(server, "PACK", receiver.url)
        poll(lambda: receiver.calls)
        # The receiver would hold it for fifteen seconds.
        assert server.stop() == 0
        assert not receiver.released.is_set()
        assert "background step failed" not in server.log_file.read_text()


async def test_many_calls_to_a_receiver_that_works_run_side_by_side():
    together = threading.Barrier(4)

    def meet(handler, call):
        if len(receiver.calls) > 1:
            together.wait(20)
        status(200)(handler, call)

    with Receiver(meet) as receiver:
        async with Yard(seconds=25.0).running() as yard:
            await yard.end(receiver.url)
            await until(lambda: _none(yard.waiting()))
            for _ in range(4):
                await yard.end(receiver.url)
            await until(lambda: _none(yard.waiting()), 20)
    assert len(receiver.calls) == 5


async def _none(found) -> bool:
    return not await found


# --- a real server ---------------------------------------------------------------------------


def quick(tmp_path: Path, *, seconds: float = 15.0, most: int = 2) -> tuple[str, str]:
    """`seconds` is also a third of the time after which a crashed server's calls come again."""
    config = tmp_path / "config.yaml"
    config.write_text(
        f"webhookTimeoutSeconds: {seconds}\n"
        f"resultWebhookMaxAttempts: {most}\n"
        "resultWebhookBaseBackoffSeconds: 0.1\n"
        "resultWebhookMaxBackoffSeconds: 0.2\n"
    )
    return "--config", str(config)


def test_weakness_11_every_way_to_end_over_http_is_told(server: Server, command: str):
    with Receiver() as receiver:
        ids = {how: _ended(server, f"{command}_{how}", receiver.url, how) for how in _ENDS}
        poll(lambda: len(receiver.calls) == len(ids))
        told = {body["taskId"]: (body["status"], body["error"]) for body in receiver.bodies}
        for how in _ENDS:
            poll(lambda how=how: _counted(server, f"{command}_{how}"))
    assert told == {ids[how]: said for how, said in _ENDS.items()}


def _counted(server: Server, command: str) -> bool:
    labels = f'kind="task_result",command="{command}",outcome="success"'
    metrics = server.get("/metrics", prefix="").body.decode()
    return f"codeq_webhook_deliveries_total{{{labels}}} 1" in metrics


_ENDS = {
    "SINGLE": ("COMPLETED", ""),
    "BATCH": ("COMPLETED", ""),
    "FAIL": ("FAILED", "it broke"),
    "NACK": ("FAILED", "no more"),
    "CANCEL": ("CANCELLED", "not needed"),
    "EXPIRE": ("FAILED", "LEASE_EXPIRED"),
}


def _ended(server: Server, command: str, url: str, how: str) -> str:
    id_ = server.create(command, webhook=url, maxAttempts=1)["id"]
    if how == "CANCEL":
        assert server.post(f"/tasks/{id_}/cancel", {"reason": "not needed"}).status == 200
        return id_
    task = server.claim(command, leaseSeconds=0.05 if how == "EXPIRE" else 60)
    assert task is not None
    done = {"status": "COMPLETED", "result": {}, "leaseToken": task["leaseToken"]}
    failed = {"status": "FAILED", "error": "it broke", "leaseToken": task["leaseToken"]}
    if how == "SINGLE":
        assert server.post(f"/tasks/{id_}/result", done).status == 200
    elif how == "BATCH":
        batch = {"results": [{"taskId": id_, **done}]}
        assert server.post("/tasks/batch/results", batch).status == 200
    elif how == "FAIL":
        assert server.post(f"/tasks/{id_}/result", failed).status == 200
    elif how == "NACK":
        assert server.post(f"/tasks/{id_}/nack", {"reason": "no more"}).json["status"] == "dlq"
    return id_


def _complete(server: Server, command: str, url: str) -> str:
    return _ended(server, command, url, "SINGLE")


def test_weakness_11_kill_9_between_the_call_and_its_settlement_repeats_the_call(tmp_path):
    with (
        Receiver(hanging(lambda: receiver)) as receiver,
        serving(tmp_path / "data", *quick(tmp_path, seconds=0.4, most=1000)) as server,
    ):
        id_ = _complete(server, "PACK", receiver.url)
        poll(lambda: receiver.calls)
        # The receiver has it; nobody has said so to the store.
        server.kill()
        receiver.behave = status(200)
        server.start()
        poll(lambda: len(receiver.calls) >= 2, 20.0)
        poll(lambda: server.get("/admin/deliveries").json["data"] == [], 20.0)
        assert server.get("/admin/deliveries?givenUp=true").json["data"] == []
    assert {body["taskId"] for body in receiver.bodies} == {id_}


def test_weakness_11_what_waits_for_its_next_try_survives_kill_9(tmp_path):
    with (
        Receiver(status(503)) as receiver,
        serving(tmp_path / "data", *quick(tmp_path, seconds=0.4, most=1000)) as server,
    ):
        ids = {_complete(server, "PACK", receiver.url) for _ in range(4)}
        poll(lambda: receiver.calls)
        server.kill()
        receiver.behave = status(200)
        server.start()
        poll(lambda: ids <= {call.json["taskId"] for call in receiver.calls}, 20.0)
        poll(lambda: server.get("/admin/deliveries").json["data"] == [], 20.0)
        assert server.get("/admin/deliveries?givenUp=true").json["data"] == []


def test_given_up_ones_are_seen_and_retried_by_admins_only_and_per_tenant(tmp_path):
    env = {"JWT_SECRET": KEY, "WEBHOOK_EGRESS_ALLOW": "loopback", "WEBHOOK_HMAC_SECRET": "hush"}
    work = ["codeq:produce", "codeq:claim", "codeq:result"]
    with (
        Receiver(status(500)) as receiver,
        serving(tmp_path / "data", *quick(tmp_path), env=env) as server,
    ):
        worker = minted(work, tenant="acme")
        made = server.post(
            "/tasks", {"command": "PACK", "payload": {}, "webhook": receiver.url}, **worker
        )
        task = server.post("/tasks/claim", {"commands": ["PACK"]}, **worker).json
        done = {"status": "COMPLETED", "result": {}, "leaseToken": task["leaseToken"]}
        assert server.post(f"/tasks/{task['id']}/result", done, **worker).status == 200
        admin = minted(["codeq:admin"], tenant="acme")
        given_up = "/admin/deliveries?givenUp=true"
        [kept] = poll(lambda: server.get(given_up, **admin).json["data"])
        assert (kept["taskId"], kept["attempts"]) == (made.json["id"], 2)
        assert (kept["error"], kept["nextTry"]) == ("it answered 500", None)
        assert all(call.headers["x-codeq-signature"] for call in receiver.calls)
        path = f"/admin/deliveries/{kept['deliveryId']}/retry"
        other = minted(["codeq:admin"], tenant="globex")
        assert server.get(given_up, **other).json["data"] == []
        assert (server.post(path, **other).status, server.post(path, **worker).status) == (404, 403)
        receiver.behave = status(204)
        assert server.post(path, **admin).status == 202
        for waiting in (given_up, "/admin/deliveries"):
            poll(lambda waiting=waiting: server.get(waiting, **admin).json["data"] == [])
        assert server.post(path, **admin).json["code"] == "QUEUE064"
    assert "hush" not in server.log_file.read_text()


def test_weakness_16_a_server_that_wants_tokens_calls_nothing_near_unless_it_is_allowed(tmp_path):
    every = ["codeq:produce", "codeq:admin"]
    with Receiver() as receiver, serving(tmp_path / "data", env={"JWT_SECRET": KEY}) as server:
        token = minted(every)
        made = server.post(
            "/tasks", {"command": "PACK", "payload": {}, "webhook": receiver.url}, **token
        )
        assert server.post(f"/tasks/{made.json['id']}/cancel", **token).status == 200
        [kept] = poll(lambda: server.get("/admin/deliveries?givenUp=true", **token).json["data"])
    assert kept["error"].startswith("CORE036")
    assert receiver.calls == []


def test_a_dead_receiver_is_seen_by_the_doctor_and_its_breaker_by_people(tmp_path):
    closed = "http://127.0.0.1:9/"
    with serving(tmp_path / "data", *quick(tmp_path)) as server:
        for _ in range(6):
            _complete(server, "PACK", closed)

        poll(lambda: _asked(server, "/probe/queue.callbacks")["spared"] == ["127.0.0.1:9"], 20.0)
        breakers = {one["target"]: one["state"] for one in _asked(server, "/breakers")}
        assert breakers == {"127.0.0.1:9": "open"}
        assert server.get("/healthz", prefix="").status == 200


def _asked(server: Server, route: str) -> Any:
    return asyncio.run(ask(find_runtime(server.data) / "queue.ctl", route))
