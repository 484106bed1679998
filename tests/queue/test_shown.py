"""The JSON that SQLite makes of a lease is the one that the face would make of the task."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backstay.core.virtual import FixedDice, VirtualClock
from backstay.queue.api.wire import TaskView, task_view
from backstay.queue.model import Rules, Task
from backstay.queue.operations import Claim, Create, Extend, Leased, Move, Nack
from backstay.queue.store.sqlite import SqliteEngine

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=6,
).map(lambda value: msgspec.json.encode(value).decode())
# A NUL ends a text for SQLite's own functions; the face lets none into a name.
_NAME = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)
_TASKS = st.fixed_dictionaries(
    {
        "tenant": _NAME.filter(bool),
        "command": _NAME.filter(bool),
        "payload": _JSON | st.integers(801, 2000).map(lambda size: f'"{"ö" * size}"'),
        "priority": st.integers(0, 9),
        "max_attempts": st.integers(2, 1000),
        "reply_to": _NAME,
        "webhook": _NAME,
        "key": _NAME,
        "trace": _NAME,
        "idempotency_key": _NAME,
        "tags": st.lists(_NAME, max_size=3, unique=True).map(tuple),
    }
)


class Bench:
    def __init__(self, folder: Path) -> None:
        self.clock = VirtualClock()
        self.engine = SqliteEngine(folder / "queue.db", Rules(), self.clock, FixedDice(), "process")
        self._numbers = iter(range(1_000_000))

    async def one(self, op: Any) -> Any:
        [result] = await self.engine.apply([op], self.clock.now())
        return result

    async def create(self, **fields: Any) -> Task:
        task: Task = await self.one(Create(f"t-{next(self._numbers)}", **fields))
        return task

    async def lease(self, count: int, command: str = "") -> list[Leased]:
        tokens = tuple(f"k-{next(self._numbers)}" for _ in range(count))
        commands = (command,) if command else ()
        taken: list[Leased] = await self.one(
            Claim('w "1"\n', tokens, 30.0, commands, count=count, shown=True)
        )
        return taken


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    await bench.engine.open()
    yield bench
    await bench.engine.close()


async def as_the_face_shows(bench: Bench, shown: TaskView) -> bytes:
    task = await bench.engine.task("*", shown.id)
    assert task is not None
    return msgspec.json.encode(task_view(task, with_token=True))


def views(taken: list[Leased]) -> list[TaskView]:
    text = b"[%b]" % b",".join(each.tasks for each in taken)
    return msgspec.json.decode(text, type=list[TaskView])


@pytest.mark.parametrize("fraction", [0.0, 0.0078125, 0.0234375, 0.999999, 0.9999996, 0.1234567])
async def test_times_are_written_to_the_same_microsecond(bench: Bench, fraction: float):
    bench.clock.jump(1_790_000_000.0 - bench.clock.now() + fraction)
    await bench.create(tenant="default", command="PACK", payload="1")
    bench.clock.advance_now(5.0)
    taken = await bench.lease(1)
    [shown] = views(taken)
    assert taken[0].tasks == await as_the_face_shows(bench, shown)


@pytest.mark.parametrize("second", [0, 1, 951_782_400, 4_102_444_799, 253_402_300_700])
async def test_times_of_any_year_are_written_alike(bench: Bench, second: int):
    bench.clock.jump(second - bench.clock.now() + 0.25)
    await bench.create(tenant="default", command="PACK", payload="1")
    taken = await bench.lease(1)
    [shown] = views(taken)
    assert taken[0].tasks == await as_the_face_shows(bench, shown)


HOSTILE = ("a\0b", "\u2028\u2029\u0085", "\U0001f4e6", '"quoted\\', "</script>", "\x7f\x1b[31m")


@pytest.mark.parametrize("text", HOSTILE)
async def test_no_text_breaks_the_json(bench: Bench, text: str):
    body = msgspec.json.encode({text: text}).decode()
    task = await bench.create(
        tenant=f"t{text}", command=f"C{text}", payload=body, key=text, tags=(text,), trace=text
    )
    [shown] = views(await bench.lease(1))
    assert msgspec.json.decode(shown.payload) == {text: text}
    assert shown == msgspec.json.decode(await as_the_face_shows(bench, shown), type=TaskView)
    assert (shown.id, shown.command, shown.tags) == (task.id, f"C{text}", (text,))


@settings(max_examples=150, deadline=None)
@given(_TASKS, _TEXT, _JSON)
def test_every_field_is_shown_as_the_face_shows_it(
    tmp_path_factory: pytest.TempPathFactory, fields: dict[str, Any], error: str, progress: str
):
    asyncio.run(compare(tmp_path_factory.mktemp("shown"), fields, error, progress))


async def compare(folder: Path, fields: dict[str, Any], error: str, progress: str) -> None:
    """Leased for the second time, when it has a past."""
    bench = Bench(folder)
    await bench.engine.open()
    try:
        task = await bench.create(**fields)
        [first] = views(await bench.lease(1))
        hold = (task.tenant, task.id, first.worker_id, first.lease_token)
        await bench.one(Extend(*hold, 5.0, progress))
        await bench.one(Nack(*hold, error, 0.0))
        bench.clock.advance_now(1.0)
        await bench.one(Move())
        [shown] = views(await bench.lease(2))
        assert shown == msgspec.json.decode(await as_the_face_shows(bench, shown), type=TaskView)
        assert (shown.attempts, shown.lease_token == first.lease_token) == (2, False)
    finally:
        await bench.engine.close()


async def test_tasks_of_a_claim_stand_in_the_order_of_service(bench: Bench):
    for priority in (1, 9, 0, 9, 1):
        await bench.create(
            tenant="default", command="PACK", payload=f'"{priority}"', priority=priority
        )
    [leased] = await bench.lease(4)
    assert leased.count == 4
    assert [view.id for view in views([leased])] == ["t-1", "t-3", "t-0", "t-4"]
    assert len({view.lease_token for view in views([leased])}) == 4


async def test_a_claim_over_several_queues_is_shown_by_queue(bench: Bench):
    for tenant, command in (("a", "PACK"), ("b", "PACK"), ("a", "SEND")):
        await bench.create(tenant=tenant, command=command, payload="1")
    taken = await bench.lease(10)
    assert {(each.tenant, each.command, each.count) for each in taken} == {
        ("a", "PACK", 1),
        ("b", "PACK", 1),
        ("a", "SEND", 1),
    }
    assert await bench.lease(10) == []
