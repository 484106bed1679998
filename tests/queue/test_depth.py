"""What a deep queue costs, and what the doctor may ask about one."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
from tests.queue.support import Server, serving, until

from backstay.core.clock import SystemClock, SystemDice, Uuid7
from backstay.core.control import ask
from backstay.core.runtime import find_runtime
from backstay.queue.model import Rules
from backstay.queue.operations import Create
from backstay.queue.store.sqlite import SqliteEngine


@pytest.mark.seed("Q43")
def test_latency_stays_bounded_with_a_hundred_thousand_pending(tmp_path: Path):
    small = _latencies(tmp_path / "small", 100)
    large = _latencies(tmp_path / "large", 100_000)
    for kind in ("create", "claim", "result"):
        # Stated multiple: five times, on top of what a busy machine adds to any single call.
        assert large[kind] < 5 * small[kind] + 0.05, (kind, small, large)


def _latencies(data: Path, pending: int) -> dict[str, float]:
    data.mkdir()
    _prefill(data, pending)
    took: dict[str, list[float]] = {"create": [], "claim": [], "result": []}
    with serving(data) as server:
        for _ in range(200):
            took["create"].append(_timed(lambda: server.create("DEEP")))
            began = time.perf_counter()
            task = server.claim("DEEP")
            took["claim"].append(time.perf_counter() - began)
            assert task is not None
            body = {"status": "COMPLETED", "result": {}, "leaseToken": task["leaseToken"]}
            path = f"/tasks/{task['id']}/result"
            took["result"].append(_timed(lambda: server.post(path, body)))  # noqa: B023
    return {kind: sorted(times)[int(len(times) * 0.99)] for kind, times in took.items()}


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _prefill(data: Path, pending: int) -> None:
    """Before the server starts: by the engine itself, because 100,000 requests take minutes."""

    async def fill() -> None:
        clock = SystemClock()
        ids = Uuid7(clock)
        engine = SqliteEngine(data / "queue.db", Rules(), clock, SystemDice(), "process")
        await engine.open()
        for begin in range(0, pending, 1000):
            count = min(1000, pending - begin)
            tasks = [Create(ids.new(), "default", "DEEP", "{}") for _ in range(count)]
            await engine.apply(tasks, clock.now())
        await engine.close()

    asyncio.run(fill())


# --- probes ----------------------------------------------------------------------------------


def probe(server: Server, name: str) -> dict[str, object]:
    socket = find_runtime(server.data) / "queue.ctl"
    found: dict[str, object] = asyncio.run(ask(socket, f"/probe/{name}", 5.0))
    return found


def test_the_doctor_can_see_that_nobody_serves_a_command(server: Server, command: str):
    server.create(command)
    time.sleep(0.01)  # so that an age is more than nothing
    seen = probe(server, "queue.commands")["commands"][command]
    assert (seen["ready"], seen["in_progress"], seen["waiting_claims"]) == (1, 0, 0)
    assert seen["oldest_ready_age"] > 0
    assert seen["last_claim_age"] == -1
    server.claim(command)
    seen = probe(server, "queue.commands")["commands"][command]
    assert (seen["ready"], seen["in_progress"]) == (0, 1)
    assert 0 <= seen["last_claim_age"] < 10


def test_the_doctor_can_see_whether_the_store_takes_a_write(tmp_path: Path):
    with serving(tmp_path / "data") as server:
        well = probe(server, "queue.store")
        assert (well["writable"], well["path"]) == (True, str(tmp_path / "data" / "queue.db"))
        assert well["free_bytes"] > 0
        (tmp_path / "data" / "queue.db").unlink()
        sick = until(lambda: _sick(server))
        assert sick["code"] == "CORE046"


def _sick(server: Server) -> dict[str, object] | None:
    found = probe(server, "queue.store")
    return None if found["writable"] else found


# --- what goes -------------------------------------------------------------------------------


def rows(data: Path) -> int:
    """How much is in the store: tasks and all that belongs to one."""
    store = apsw.Connection(str(data / "queue.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return sum(
            store.execute(f"SELECT count(*) FROM {table}").get
            for table in ("task", "payload", "result", "attempt", "delivery", "tag")
        )
    finally:
        store.close()


def worked(server: Server, **changes: object) -> str:
    """A task with an idempotency key, created and ended; gives its id."""
    server.create("A", idempotencyKey="k", payload="p" * 1000)
    task = server.claim("A")
    assert task is not None
    result = {"r": "r" * 1000}
    body = {"status": "COMPLETED", "result": result, "leaseToken": task["leaseToken"], **changes}
    assert server.post(f"/tasks/{task['id']}/result", body).status == 200
    return str(task["id"])


@pytest.mark.seed("Q32")
@pytest.mark.parametrize("how", ["retention", "cleanup"])
def test_ended_tasks_go_with_their_results_and_keys(tmp_path: Path, how: str):
    config = tmp_path / "config.yaml"
    config.write_text("retentionSeconds: 1\n" if how == "retention" else "retentionSeconds: 900\n")
    with serving(tmp_path / "data", "--config", str(config)) as server:
        for changes in ({}, {"status": "FAILED", "result": {"why": 1}, "error": "no"}):
            before = rows(tmp_path / "data")
            first = worked(server, **changes)
            server.create("OPEN")
            if how == "cleanup":
                assert rows(tmp_path / "data") > before + 2
                assert server.post("/admin/tasks/cleanup", {"command": "A"}).json["deleted"] == 1
            until(lambda: rows(tmp_path / "data") == before + 1)  # noqa: B023
            assert server.get(f"/tasks/{first}").status == 404
            assert server.get(f"/tasks/{first}/result").status == 404
        # the idempotency entry is gone with the task
        assert worked(server) != first
