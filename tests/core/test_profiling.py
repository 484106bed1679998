"""Profiles that the real `go tool pprof` reads, and stacks that say what each waits for."""

import asyncio
import gc
import gzip
import os
import re
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from backstay.core.clock import CpuClock, SystemClock
from backstay.core.errors import Fault
from backstay.core.profiling import stacks
from backstay.core.profiling.api import Profiles, Wish, wish_of
from backstay.core.profiling.cpu import Sampler
from backstay.core.profiling.heap import _function_at
from backstay.core.profiling.pprof import Frame, ProfileBuilder, ValueType

Pprof = Callable[..., str]
TOP = ("-top", "-nodefraction=0", "-nodecount=99999")


@pytest.fixture
def profiles() -> Profiles:
    return Profiles("tests", SystemClock())


async def kept(profiles: Profiles, file: Path, kind: str = "heap", **wish: object) -> Path:
    file.write_bytes((await profiles.make(kind, Wish(**wish))).body)
    return file


class Kept:
    """A thing to be counted."""

    def __init__(self) -> None:
        self.more = [0] * 10


def burn(until: threading.Event) -> int:
    count = 0
    while not until.is_set():
        count += 1
    return count


# --- the format ----------------------------------------------------------------------------------


def built() -> bytes:
    kind = ValueType("things", "count")
    builder = ProfileBuilder([kind, ValueType("weight", "bytes")], period=(kind, 1), comment="why")
    inner, outer = Frame("m.inner", "m.py", 3), Frame("m.outer", "m.py", 9)
    builder.add([inner, outer], [2, 300], {"system": "queue"})
    builder.add([outer], [1, -5])
    builder.add([inner, outer], [2**40, 2**63 - 1])
    return builder.encode(1_750_000_000.0, 2.5)


def test_equal_profiles_are_equal_bytes_and_compressed() -> None:
    assert built() == built()
    assert gzip.decompress(built()).count(b"m.inner") == 1


@pytest.mark.peer
def test_go_reads_back_what_was_written(tmp_path: Path, pprof: Pprof) -> None:
    file = tmp_path / "made.pb.gz"
    file.write_bytes(built())
    raw = pprof("-raw", file)
    assert "things/count weight/bytes" in raw
    assert "Duration: 2.5" in raw
    assert "2025-06-15 15:06:40 +0000 UTC" in raw
    assert re.search(r"2 +300: 1 2 *\n +system:\[queue\]", raw)
    assert re.search(r"1 +-5: 2", raw)
    assert re.search(rf"{2**40} +{2**63 - 1}: 1 2", raw)
    assert re.search(r"m.inner m.py:3", raw)
    assert "why" in pprof("-comments", file)


# --- memory --------------------------------------------------------------------------------------


@pytest.mark.peer
async def test_a_census_counts_what_is_alive_and_the_base_is_taken_off(
    tmp_path: Path, profiles: Profiles, pprof: Pprof
) -> None:
    things = [Kept() for _ in range(1000)]
    one = await kept(profiles, tmp_path / "1.pb.gz", gc=True)
    top = pprof(*TOP, "-sample_index=inuse_objects", one)
    assert re.search(r"^ +1000 .* \S*test_profiling.Kept$", top, re.MULTILINE)
    things += [Kept() for _ in range(500)]
    two = await kept(profiles, tmp_path / "2.pb.gz", gc=True)
    grown = pprof(*TOP, "-sample_index=inuse_objects", "-base", one, two)
    assert re.search(r"^ +500 .* \S*test_profiling.Kept$", grown, re.MULTILINE)
    assert "Type: alloc_space" in pprof(*TOP, "-alloc_space", two)


@pytest.mark.peer
async def test_what_was_freed_stays_in_what_was_allocated(
    tmp_path: Path, profiles: Profiles, pprof: Pprof
) -> None:
    things = [Kept() for _ in range(700)]
    await kept(profiles, tmp_path / "1.pb.gz", gc=True)
    things.clear()
    two = await kept(profiles, tmp_path / "2.pb.gz", "allocs", gc=True)
    assert "Type: alloc_space" in pprof(*TOP, two)
    allocated = pprof(*TOP, "-sample_index=alloc_objects", two)
    assert re.search(r"^ +700 .* \S*test_profiling.Kept$", allocated, re.MULTILINE)
    alive = pprof(*TOP, "-sample_index=inuse_objects", two)
    assert not re.search(r"[1-9].* \S*test_profiling.Kept$", alive, re.MULTILINE)


@pytest.mark.peer
async def test_traced_memory_is_told_by_place_until_it_is_ended(
    tmp_path: Path, profiles: Profiles, pprof: Pprof
) -> None:
    await kept(profiles, tmp_path / "0.pb.gz", trace=True)
    try:
        things = [Kept() for _ in range(2000)]
        file = await kept(profiles, tmp_path / "1.pb.gz")
        top = pprof(*TOP, "-cum", file)
        assert re.search(r"test_profiling.Kept.__init__$", top, re.MULTILINE)
        assert "def __init__" in pprof("-list", "Kept.__init__", file)
    finally:
        await kept(profiles, tmp_path / "2.pb.gz", trace=False)
    assert len(things) == 2000
    after = pprof(*TOP, "-sample_index=inuse_objects", tmp_path / "2.pb.gz")
    assert re.search(r"^ +2000 .* \S*test_profiling.Kept$", after, re.MULTILINE)


def test_a_line_is_of_its_innermost_function() -> None:
    lines = Path(__file__).read_text().splitlines()
    place = next(number for number, line in enumerate(lines, 1) if "self.more = " in line)
    assert _function_at(__file__, place) == "test_profiling.Kept.__init__"
    assert _function_at(__file__, 1) == "test_profiling.<module>"
    assert _function_at("/nowhere/x.py", 5) == "x"


async def test_an_object_that_does_not_know_its_size_breaks_nothing(profiles: Profiles) -> None:
    class Sizeless:
        def __sizeof__(self) -> int:
            raise RuntimeError("no")

    thing = Sizeless()
    assert (await profiles.make("heap", Wish())).status == 200
    assert gc.is_tracked(thing)


# --- CPU -----------------------------------------------------------------------------------------


@pytest.mark.peer
async def test_a_profile_names_who_burns_and_not_who_waits(tmp_path: Path, pprof: Pprof) -> None:
    done = threading.Event()
    cpu = CpuClock()
    burner = threading.Thread(target=burn, args=(done,), name="burner")
    waiter = threading.Thread(target=done.wait, name="waiter")
    sampler = Sampler("tests", asyncio.get_running_loop(), cpu)
    for thread in (burner, waiter, sampler):
        thread.start()
    burnt = cpu.of_process() + 0.5
    while cpu.of_process() < burnt:
        await asyncio.sleep(0.01)
    sampler.stop()
    file = tmp_path / "cpu.pb.gz"
    file.write_bytes(await asyncio.to_thread(sampler.finish, 1.0, 0.5))
    done.set()
    top = pprof(*TOP, "-tagfocus=thread=burner", file)
    assert re.search(r"test_profiling.burn$", top, re.MULTILINE)
    tags = pprof("-tags", file)
    assert "burner" in tags
    assert "waiter" not in tags
    assert re.search(r"system: .*\n.*tests", tags)


async def brief(cpu: CpuClock, until: float) -> None:
    while cpu.of_process() < until:
        turn = cpu.of_process() + 0.0003
        while cpu.of_process() < turn:
            pass
        await asyncio.sleep(0.0005)


@pytest.mark.peer
async def test_a_loop_is_seen_at_work_however_short_its_turns_are(
    tmp_path: Path, pprof: Pprof
) -> None:
    cpu = CpuClock()
    sampler = Sampler("tests", asyncio.get_running_loop(), cpu)
    sampler.start()
    await asyncio.create_task(brief(cpu, cpu.of_process() + 0.6))
    sampler.stop()
    file = tmp_path / "cpu.pb.gz"
    file.write_bytes(await asyncio.to_thread(sampler.finish, 1.0, 0.5))
    top = pprof(*TOP, "-tagfocus=task=brief", file)
    assert re.search(r"test_profiling.brief$", top, re.MULTILINE)


async def test_after_a_profile_the_signal_is_harmless_and_the_timer_off(profiles: Profiles) -> None:
    await profiles.make("profile", Wish(seconds=0.05))
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)
    os.kill(os.getpid(), signal.SIGPROF)
    assert (await profiles.make("profile", Wish(seconds=0.05))).status == 200


async def test_two_cpu_profiles_at_once_are_refused_and_a_left_one_ends(profiles: Profiles) -> None:
    def samplers() -> int:
        return sum(thread.name == "profiler" for thread in threading.enumerate())

    first = asyncio.create_task(profiles.make("profile", Wish(seconds=60)))
    while not samplers():
        await asyncio.sleep(0)
    with pytest.raises(Fault, match="CORE068"):
        await profiles.make("profile", Wish(seconds=1))
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    while samplers():
        await asyncio.sleep(0)
    assert (await profiles.make("profile", Wish(seconds=0.02))).status == 200


async def test_a_profile_ends_early_when_the_process_drains(
    tmp_path: Path, profiles: Profiles, pprof: Pprof
) -> None:
    running = asyncio.create_task(kept(profiles, tmp_path / "cpu.pb.gz", "profile", seconds=300))
    await asyncio.sleep(0)
    profiles.end()
    assert "Type: cpu" in pprof("-top", await running)


@pytest.mark.parametrize("seconds", [0.0, -1.0, 301.0, float("nan")])
async def test_a_time_that_is_none_is_refused(profiles: Profiles, seconds: float) -> None:
    with pytest.raises(Fault, match="CORE069"):
        await profiles.make("profile", Wish(seconds=seconds))


def test_the_clock_of_a_thread_that_never_was_tells_nothing() -> None:
    assert CpuClock().of_thread(2**22 + 1) is None
    assert (CpuClock().of_thread(threading.get_native_id()) or 0) > 0


# --- stacks --------------------------------------------------------------------------------------


async def test_each_task_says_what_it_waits_for_in_gos_words() -> None:
    queue: asyncio.Queue[int] = asyncio.Queue(1)
    empty: asyncio.Queue[int] = asyncio.Queue()
    queue.put_nowait(1)
    lock = asyncio.Lock()
    await lock.acquire()

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def selecting() -> None:
        await asyncio.wait([asyncio.ensure_future(asyncio.Event().wait())])

    async def grouped() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.Event().wait())

    listening = await asyncio.start_server(server, "127.0.0.1")
    address = listening.sockets[0].getsockname()[:2]
    _, writer = await asyncio.open_connection(*address)
    waiting = {
        "sleeping": (asyncio.sleep(60), "sleep"),
        "clock": (SystemClock().sleep(1e12), "sleep"),
        "receiving": (empty.get(), "chan receive"),
        "sending": (queue.put(2), "chan send"),
        "locked": (lock.acquire(), "semacquire"),
        "event": (asyncio.Event().wait(), "chan receive"),
        "selecting": (selecting(), "select"),
        "grouped": (grouped(), "select"),
    }
    tasks = [asyncio.create_task(coro, name=name) for name, (coro, _) in waiting.items()]
    found: dict[str, stacks.Stack] = {}
    for _ in range(1000):
        found = {stack.name: stack for stack in stacks.all_stacks() if stack.kind == "task"}
        served = any("server" in stack.frames[-1].name for stack in found.values() if stack.frames)
        if served and not any(stack.reason == "runnable" for stack in found.values()):
            break
        await asyncio.sleep(0)
    reasons = {name: found[name].reason for name in waiting}
    assert reasons == {name: reason for name, (_, reason) in waiting.items()}
    (reading,) = [stack for stack in found.values() if stack.frames[-1].name.endswith("server")]
    assert reading.reason == "IO wait"
    assert [stack.reason for stack in found.values()].count("running") == 1
    # The whole chain of what is awaited, from where it really waits.
    names = [frame.name.rpartition(".")[2] for frame in found["selecting"].frames]
    assert names == ["_wait", "wait", "selecting"]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    writer.close()
    listening.close()


async def test_a_task_that_only_waits_for_its_turn_is_runnable() -> None:
    task = asyncio.create_task(asyncio.sleep(60), name="new")
    (found,) = [stack for stack in stacks.all_stacks() if stack.name == "new"]
    task.cancel()
    assert found.reason == "runnable"


async def test_threads_are_counted_and_a_waiting_one_says_so() -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait, name="of-the-test")
    thread.start()
    (found,) = [stack for stack in stacks.all_stacks() if stack.name == "of-the-test"]
    done.set()
    thread.join()
    assert (found.kind, found.reason) == ("thread", "semacquire")
    assert found.frames[0].name == "threading.Condition.wait"


async def test_the_three_forms_count_the_same(
    tmp_path: Path, profiles: Profiles, pprof: Pprof
) -> None:
    tasks = [asyncio.create_task(asyncio.Event().wait()) for _ in range(7)]
    await asyncio.sleep(0)
    counted = (await profiles.make("goroutine", Wish(debug=1))).body.decode()
    text = (await profiles.make("goroutine", Wish(debug=2))).body.decode()
    file = await kept(profiles, tmp_path / "g.pb.gz", "goroutine")
    total = int(re.match(r"goroutine profile: total (\d+)\n", counted)[1])  # type: ignore[index]
    assert len(re.findall(r"^goroutine \d+ \[[a-zA-Z ]+\]:$", text, re.MULTILINE)) == total
    assert len(re.findall(r"^goroutine ", text, re.MULTILINE)) == total
    assert re.search(r"^7 @ chan receive$", counted, re.MULTILINE)
    assert f"of {total} total" in pprof(*TOP, file)
    for task in tasks:
        task.cancel()


# --- what can be asked ---------------------------------------------------------------------------


def test_gos_parameters_are_understood() -> None:
    query = {"seconds": ["5"], "debug": ["2"], "gc": ["1"], "trace": ["0"], "other": ["x"]}
    assert wish_of(query) == Wish(seconds=5.0, debug=2, gc=True, trace=False)
    assert wish_of({}) == Wish()
    with pytest.raises(Fault, match="CORE069"):
        wish_of({"seconds": ["soon"]})


async def test_another_profile_is_refused_by_name(profiles: Profiles) -> None:
    with pytest.raises(Fault, match="CORE069"):
        await profiles.make("mutex", Wish())


def test_who_may_is_a_setting(profiles: Profiles) -> None:
    assert {row.scope for row in profiles.endpoints("admin")} == {"admin"}
    assert {row.scope for row in profiles.endpoints("open")} == {""}
    assert profiles.endpoints("off") == []
