"""Result callbacks: what is told, when, and again until it is taken."""

import pytest
from tests.queue.loops import Yard, none, until
from tests.queue.receiver import Receiver, hanging, in_turn, status

from backstay.core.service import Service
from backstay.core.tracing import TracingSettings, make_tracer
from backstay.queue.loops.callbacks import Tries
from backstay.queue.model import Task
from backstay.queue.operations import Cancel, Nack, Redrive
from backstay.queue.webhooks import verify

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


# --- what is told, and when ------------------------------------------------------------------


async def test_a_result_is_told_with_all_fields_and_a_signature_that_verifies():
    with Receiver() as receiver:
        async with Yard(secret="s3cret").running() as yard:
            task = await yard.end(f"{receiver.url}/hook?a=1", trace=TRACE)
            await until(lambda: receiver.calls)
            now = yard.clock.now()
            await until(lambda: none(yard.waiting()))
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
            await until(lambda: none(yard.waiting()))
    first, *others = [body["status"] for body in receiver.bodies]
    assert (first, set(others)) == ("CANCELLED", {"COMPLETED"})


# --- tries -----------------------------------------------------------------------------------


async def test_a_failed_call_is_tried_again_with_the_same_delivery_until_a_2xx():
    with Receiver(in_turn(status(500), status(404), status(299))) as receiver:
        async with Yard().running() as yard:
            await yard.end(receiver.url)
            await until(lambda: len(receiver.calls) == 3)
            await until(lambda: none(yard.waiting()))
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
            await until(lambda: none(yard.waiting()))
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
            await until(lambda: none(again.waiting()))
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
