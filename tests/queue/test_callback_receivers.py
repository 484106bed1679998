"""Receivers of callbacks that lie, hang, redirect or are not there: nobody else is held up."""

import socket
import threading
from typing import Any

import pytest
from tests.queue.loops import Yard, none, until
from tests.queue.receiver import Receiver, endless, hanging, no_http, status

from backstay.queue.health import callbacks_check
from backstay.queue.loops.callbacks import Tries

CLOSED = "http://127.0.0.1:9/closed"


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
            await until(lambda: none(yard.waiting()))
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
            await until(lambda: none(yard.waiting()))
            for _ in range(1000):
                await yard.end(receiver.url)
            await until(lambda: len(receiver.calls) == 1001, 40.0)


async def test_many_calls_to_a_receiver_that_works_run_side_by_side():
    together = threading.Barrier(4)

    def meet(handler, call):
        if len(receiver.calls) > 1:
            together.wait(20)
        status(200)(handler, call)

    with Receiver(meet) as receiver:
        async with Yard(seconds=25.0).running() as yard:
            await yard.end(receiver.url)
            await until(lambda: none(yard.waiting()))
            for _ in range(4):
                await yard.end(receiver.url)
            await until(lambda: none(yard.waiting()), 20)
    assert len(receiver.calls) == 5
