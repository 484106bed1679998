"""Subscribers hear of work in every way it can appear, and a bad one harms nobody."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.queue.loops import Yard, until
from tests.queue.receiver import Receiver, endless, hanging, status

from backstay.queue.model import Policy, Subscription
from backstay.queue.operations import (
    Abandon,
    Cancel,
    Nack,
    Redrive,
    Reschedule,
    SetPolicy,
    Subscribe,
)


async def subscribe(yard: Yard, url: str, *commands: str, **fields: object) -> Subscription:
    fields = {"tenant": "default", "id": yard.ids.new(), "min_interval": 0.1, **fields}
    fields.setdefault("expires_at", yard.clock.now() + 600)
    one = Subscription(url=url, commands=commands or ("PACK",), **fields)
    await yard.one(Subscribe(one))
    await yard.notices.look()
    return one


# --- every way in which a task becomes ready -------------------------------------------------


async def _create(yard: Yard) -> None:
    await yard.create()


async def _due(yard: Yard) -> None:
    await yard.create(due_at=yard.clock.now() + 0.3)


async def _nack(yard: Yard) -> None:
    task = await yard.claim()
    await yard.one(Nack(task.tenant, task.id, "w", task.lease_token, "broke", 0.3))


async def _abandon(yard: Yard) -> None:
    task = await yard.claim()
    await yard.one(Abandon(task.tenant, task.id, "w", task.lease_token))


async def _expire(yard: Yard) -> None:
    await yard.claim(lease=0.2)


async def _redrive(yard: Yard) -> None:
    task = await yard.claim()
    await yard.one(Cancel(task.tenant, task.id))
    await yard.one(Redrive(task.tenant, task.id))


async def _reschedule(yard: Yard) -> None:
    task = await yard.create(due_at=yard.clock.now() + 600)
    await yard.one(Reschedule(task.tenant, task.id))


async def _resume(yard: Yard) -> None:
    await yard.one(SetPolicy(Policy("default", "PACK", paused=True)))
    await yard.create()
    await yard.one(SetPolicy(Policy("default", "PACK")))


async def _bound_lifted(yard: Yard) -> None:
    await yard.create()
    await yard.one(SetPolicy(Policy("default", "PACK", concurrency=1)))
    await yard.claim()
    await yard.one(SetPolicy(Policy("default", "PACK")))


async def _lease_ended_under_a_bound(yard: Yard) -> None:
    await yard.one(SetPolicy(Policy("default", "PACK", concurrency=1)))
    await yard.create()
    task = await yard.claim()
    await yard.finish(task)


async def _next_token(yard: Yard) -> None:
    await yard.one(SetPolicy(Policy("default", "PACK", rate=4.0)))
    await yard.create()
    await yard.claim()


WAYS: dict[str, tuple[int, Callable[[Yard], Awaitable[None]]]] = {
    "create": (0, _create),
    "due": (0, _due),
    "nack": (1, _nack),
    "abandon": (1, _abandon),
    "expire": (1, _expire),
    "redrive": (1, _redrive),
    "reschedule": (0, _reschedule),
    "resume": (0, _resume),
    "a bound is lifted": (1, _bound_lifted),
    "a lease ends under a bound": (1, _lease_ended_under_a_bound),
    "the next token of a rate": (1, _next_token),
}
"""How many tasks are there before somebody subscribes, and what happens then. Nobody polls."""


@pytest.mark.parametrize("way", WAYS)
async def test_weakness_8_a_task_that_becomes_ready_is_told_though_nobody_claims(way: str):
    before, happen = WAYS[way]
    with Receiver() as receiver:
        async with Yard().running() as yard:
            for _ in range(before):
                await yard.create()
            await subscribe(yard, receiver.url)
            await happen(yard)
            await until(lambda: receiver.calls)
            [body] = receiver.bodies[:1]
            assert (body["eventType"], body["available"]) == ("PACK", True)
            assert body["queueDepth"] >= 1


async def test_a_notice_says_the_true_depth_and_has_an_id_of_its_own():
    with Receiver() as receiver:
        async with Yard(secret="k").running() as yard:
            one = await subscribe(yard, receiver.url)
            await yard.create()
            await until(lambda: len(receiver.calls) == 1)
            for _ in range(4):
                await yard.create()
            await until(lambda: len(receiver.calls) == 2)
    first, second = receiver.bodies
    assert (first["queueDepth"], second["queueDepth"]) == (1, 5)
    assert first["notificationId"] != second["notificationId"]
    assert first["notificationId"].startswith("ntf-")
    assert first["claimUrl"] == "/v1/codeq/tasks/claim"
    assert (first["subscriptionId"], first["tenantId"]) == (one.id, "default")
    assert "x-codeq-signature" in receiver.calls[0].headers


async def test_between_two_notices_lies_the_interval_and_news_of_that_time_is_not_lost():
    with Receiver() as receiver:
        async with Yard().running() as yard:
            await subscribe(yard, receiver.url, min_interval=0.5)
            await yard.create()
            await until(lambda: receiver.calls)
            [before] = await yard.engine.subscriptions(None)
            for _ in range(99):
                await yard.create()
                await asyncio.sleep(0)
            await until(lambda: len(receiver.calls) == 2)
            await until(lambda: not yard.notices._news)
            [after] = await yard.engine.subscriptions(None)
    depths = [body["queueDepth"] for body in receiver.bodies]
    assert depths == [1, 100], "a hundred tasks are two notices"
    assert after.notified_at - before.notified_at >= 0.5


async def test_a_queue_that_is_empty_again_is_not_told():
    with Receiver() as receiver:
        async with Yard().running() as yard:
            await subscribe(yard, receiver.url, min_interval=0.3)
            await yard.create()
            await until(lambda: receiver.calls)
            await yard.finish(await yard.claim())
            task = await yard.create()
            await yard.finish(await yard.claim())
            await until(lambda: not yard.notices._news)
            assert (await yard.engine.task("default", task.id)).state == "completed"
    assert len(receiver.calls) == 1


async def test_weakness_12_each_subscriber_has_an_interval_of_its_own_and_is_told():
    with Receiver() as one, Receiver() as two, Receiver() as three:
        async with Yard().running() as yard:
            # The first of them was told a moment ago: it must not eat the turn of the others.
            now = yard.clock.now()
            await subscribe(yard, one.url, min_interval=600.0, notified_at=now)
            await subscribe(yard, two.url)
            await subscribe(yard, three.url)
            await yard.create()
            await until(lambda: two.calls and three.calls)
            assert one.calls == []


async def test_only_those_who_want_it_are_told():
    with (
        Receiver() as mine,
        Receiver() as others,
        Receiver() as any_of_mine,
        Receiver() as all_of_it,
    ):
        async with Yard().running() as yard:
            await subscribe(yard, mine.url, "PACK")
            await subscribe(yard, others.url, "PACK", tenant="other")
            await yard.one(
                Subscribe(
                    Subscription("default", "any", any_of_mine.url, (), yard.clock.now() + 60, 0.1)
                )
            )
            await subscribe(yard, all_of_it.url, "PACK", tenant="*")
            await yard.create()
            await until(lambda: mine.calls and any_of_mine.calls and all_of_it.calls)
            assert others.calls == []


async def test_two_servers_on_one_store_tell_once():
    with Receiver() as receiver:
        first = Yard()
        second = Yard(first.engine)
        async with first.running(), second.running():
            await subscribe(first, receiver.url, min_interval=60.0)
            await second.notices.look()
            await first.create()
            await until(lambda: receiver.calls)
            await until(lambda: not first.notices._news and not second.notices._news)
    assert len(receiver.calls) == 1


async def test_one_that_has_ended_is_told_nothing_and_is_cleaned_up():
    with Receiver() as receiver:
        async with Yard().running() as yard:
            await subscribe(yard, receiver.url, expires_at=yard.clock.now() - 1)
            await yard.create()
            yard.notices._clean_at = 0.0
            await yard.notices.look()
            assert await yard.engine.subscriptions(None) == []
    assert receiver.calls == []


async def test_news_that_met_a_failing_store_is_told_later():
    with Receiver() as receiver:
        async with Yard().running() as yard:
            await subscribe(yard, receiver.url)
            plain = yard.engine.stats

            async def fails(_: str | None) -> list:
                yard.engine.stats = plain  # type: ignore[method-assign]
                raise OSError("the disk is away")

            yard.engine.stats = fails  # type: ignore[method-assign]
            await yard.create()
            await until(lambda: receiver.calls)


async def test_a_queue_without_subscribers_costs_no_write():
    async with Yard().running() as yard:
        applied = 0
        plain = yard.engine.apply

        async def counting(ops, now):
            nonlocal applied
            applied += 1
            return await plain(ops, now)

        yard.engine.apply = counting  # type: ignore[method-assign]
        for _ in range(50):
            await yard.create()
        await yard.notices.step()
        assert applied == 50


async def test_a_wall_clock_set_back_silences_nobody():
    from backstay.core.clock import SystemClock

    class Jumping(SystemClock):
        by = 0.0

        def now(self) -> float:
            return super().now() + self.by

    clock = Jumping()
    with Receiver() as receiver:
        async with Yard(clock=clock).running() as yard:
            await subscribe(yard, receiver.url, min_interval=5.0)
            await yard.create()
            await until(lambda: receiver.calls)
            clock.by = -3600.0
            await yard.create()
            await until(lambda: len(receiver.calls) == 2)


@pytest.mark.parametrize(
    "bad", [status(500), endless, hanging(lambda: _bad[0])], ids=["fails", "endless", "hangs"]
)
async def test_a_bad_subscriber_keeps_nothing_from_the_good_one(bad):
    with Receiver(bad) as wicked, Receiver() as good:
        _bad[:] = [wicked]
        async with Yard(seconds=1.0).running() as yard:
            await subscribe(yard, wicked.url)
            await subscribe(yard, good.url)
            for number in range(1, 4):
                await yard.create()
                await until(lambda number=number: len(good.calls) >= number)


_bad: list[Receiver] = []
