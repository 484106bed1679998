"""The client against a real server, and against servers that fail in each way there is."""

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from tests.queue.support import Server

from backstay.core.errors import Fault
from backstay.core.virtual import FixedDice
from backstay.queue.client import (
    Beat,
    Ended,
    QueueClient,
    Refused,
    SyncQueueClient,
    TaskView,
    new_task,
)
from backstay.up.ports import free_port

# What another server answers: a status, a body, headers; or None to hang up without an answer.
Script = list[tuple[int, dict[str, Any], dict[str, str]] | None]
TASK = {
    "id": "t1",
    "command": "A",
    "payload": "{}",
    "status": "PENDING",
    "createdAt": "2026-01-01T00:00:00Z",
    "updatedAt": "2026-01-01T00:00:00Z",
}


class Scripted:
    """A server that answers by a script and remembers what it was asked."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked: list[tuple[str, str, bytes]] = []
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                scripted.asked.append((self.command, self.path, body))
                step = scripted.script.pop(0)
                if step is None:
                    self.close_connection = True
                    return
                status, said, headers = step
                raw = json.dumps(said).encode()
                self.send_response(status)
                for name, text in {"content-length": str(len(raw)), **headers}.items():
                    self.send_header(name, text)
                self.end_headers()
                self.wfile.write(raw)

            do_GET = do_POST = do_PUT = answer  # noqa: N815 - the library's names

            def log_message(self, *_: object) -> None:
                """The test says what matters."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@contextmanager
def scripted(*script: tuple[int, dict[str, Any], dict[str, str]] | None) -> Iterator[Scripted]:
    made = Scripted([*script])
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        made.server.server_close()
        thread.join()


def client_of(url: str, **more: Any) -> QueueClient:
    # The dice give no pause between two tries.
    return QueueClient(url, dice=FixedDice(0.0), **more)


async def test_a_task_goes_all_the_way_with_all_that_can_be_said_of_it(
    server: Server, command: str
):
    async with client_of(server.base_url) as client:
        made = await client.create_task(
            command,
            {"n": 1},
            priority=7,
            max_attempts=3,
            idempotency_key=f"{command}-1",
            tags=["night"],
            key="customer-7",
        )
        again = await client.create_task(
            command,
            {"n": 1},
            priority=7,
            max_attempts=3,
            idempotency_key=f"{command}-1",
            tags=["night"],
            key="customer-7",
        )
        assert again.id == made.id
        task = await client.claim_task([command], lease_seconds=30)
        assert task is not None
        assert (task.id, task.priority, task.tags, task.key) == (
            made.id,
            7,
            ("night",),
            "customer-7",
        )
        await client.heartbeat(task.id, task.lease_token, 60, {"percent": 40})
        assert (await client.get_task(task.id)).progress == {"percent": 40}
        await client.submit_result(task.id, task.lease_token, {"done": True})
        # The same again is answered as the first time, so it may be repeated.
        await client.submit_result(task.id, task.lease_token, {"done": True})
        assert (await client.get_result(made.id)).result == {"done": True}
        [attempt] = await client.get_attempts(made.id)
        assert (attempt.number, attempt.outcome) == (1, "completed")


async def test_batches_stand_and_fail_item_by_item(server: Server, command: str):
    async with client_of(server.base_url) as client:
        good, bad = await client.batch_create_tasks(
            [new_task(command, 1), new_task("two words", 2)]
        )
        assert isinstance(good, TaskView)
        assert isinstance(bad, Refused)
        assert "two words" in bad.reason
        [task] = await client.batch_claim_tasks(10, [command], lease_seconds=30)
        beats = await client.batch_heartbeat([Beat(task.id, task.lease_token), Beat("none", "x")])
        assert beats[0] is None
        assert beats[1] is not None
        assert beats[1].lease_over
        ends = await client.batch_submit_results(
            [Ended(task.id, task.lease_token, {"a": 1}), Ended(task.id, "wrong", {"a": 1})]
        )
        assert ends[0] is None
        assert ends[1] is not None
        assert ends[1].code == "QUEUE003"


async def test_a_batch_claim_waits_for_the_first_task(server: Server, command: str):
    async with client_of(server.base_url) as client:
        claiming = asyncio.create_task(client.batch_claim_tasks(5, [command], wait=20))
        while not (await client.get_queue_stats(command)).waiting_claims:
            await asyncio.sleep(0.01)
        made = await client.create_task(command, {})
        assert [task.id for task in await asyncio.wait_for(claiming, 10)] == [made.id]


async def test_search_pages_through_what_fits(server: Server, command: str):
    async with client_of(server.base_url) as client:
        tasks = [new_task(command, n, tags=["odd" if n % 2 else "even"]) for n in range(7)]
        await client.batch_create_tasks(tasks)
        page = await client.list_tasks(command=command, tag="odd", limit=2)
        assert [task.payload for task in page.items] == ["1", "3"]
        rest = await client.list_tasks(command=command, tag="odd", limit=2, cursor=page.next)
        assert [task.payload for task in rest.items] == ["5"]
        newest = await client.list_tasks(command=command, newest_first=True, limit=1)
        assert newest.items[0].payload == "6"
        every = [task.payload async for task in client.all_tasks(command=command)]
        assert every == [*"0123456"]
        assert (await client.cancel_tasks(command=command, tag="even")).count == 4


async def test_dead_letters_are_listed_redriven_and_purged(server: Server, command: str):
    async with client_of(server.base_url) as client:
        for n in range(3):
            made = await client.create_task(command, n, max_attempts=1)
            task = await client.claim_task([command])
            assert task is not None
            assert await client.nack(task.id, task.lease_token, f"broke {n}") == "dlq"
        dead = await client.list_dead(command)
        assert [task.error for task in dead.items] == ["broke 0", "broke 1", "broke 2"]
        assert (await client.retry_task(made.id)).status == "PENDING"
        assert (await client.redrive(command, limit=1)).count == 1
        assert (await client.purge(command, status="DEAD")).count == 1
        stats = await client.get_queue_stats(command)
        assert (stats.ready, stats.dlq) == (2, 0)


async def test_a_task_is_put_off_to_a_time(server: Server, command: str):
    async with client_of(server.base_url) as client:
        at = datetime(2100, 1, 1, tzinfo=UTC)
        made = await client.create_task(command, {}, run_at=at)
        assert made.run_at.startswith("2100-01-01T00:00:00")
        moved = await client.reschedule_task(made.id, run_at=at.timestamp() + 60)
        assert moved.run_at.startswith("2100-01-01T00:01:00")
        assert (await client.reschedule_task(made.id)).run_at == ""
        with pytest.raises(ValueError, match="zone"):
            await client.create_task(command, {}, run_at=datetime(2100, 1, 1))  # noqa: DTZ001


async def test_waiting_for_a_result_ends_when_there_will_be_none(server: Server, command: str):
    async with client_of(server.base_url) as client:
        made = await client.create_task(command, {})
        await client.cancel_task(made.id, "not wanted")
        with pytest.raises(Fault) as caught:
            await client.wait_for_result(made.id, timeout=120)
        assert caught.value.entry.code == "QUEUE006" or isinstance(caught.value, Refused)


# --- what is repeated ------------------------------------------------------------------------


async def test_a_keyed_creation_is_repeated_when_its_answer_is_lost():
    with scripted(None, (503, {"error": "away"}, {}), (202, TASK, {})) as other:
        async with client_of(other.url) as client:
            assert (await client.create_task("A", {}, idempotency_key="k")).id == "t1"
        assert len(other.asked) == 3
        assert len(set(other.asked)) == 1


async def test_a_creation_without_a_key_is_never_sent_twice():
    with scripted(None, (202, TASK, {})) as other:
        async with client_of(other.url) as client:
            with pytest.raises(Fault) as caught:
                await client.create_task("A", {})
            assert caught.value.entry.code == "QUEUE040"
            assert other.url in caught.value.message
        assert len(other.asked) == 1


async def test_a_claim_is_not_repeated_but_a_drain_and_a_rate_limit_are_waited_out():
    busy = (429, {"error": "rate limit exceeded", "code": "QUEUE023"}, {"retry-after": "0"})
    draining = (503, {"error": "the queue is draining", "code": "QUEUE019"}, {})
    with scripted(busy, draining, (200, {**TASK, "leaseToken": "x"}, {}), None) as other:
        async with client_of(other.url) as client:
            task = await client.claim_task(["A"])
            assert task is not None
            assert task.lease_token == "x"
            with pytest.raises(Fault):
                await client.claim_task(["A"])
        assert len(other.asked) == 4


async def test_a_pause_that_is_too_long_to_sit_out_is_told():
    with scripted((429, {"error": "rate limit exceeded"}, {"retry-after": "3600"})) as other:
        async with client_of(other.url) as client:
            with pytest.raises(Refused) as caught:
                await client.create_task("A", {})
        assert caught.value.retry_after == 3600
        assert len(other.asked) == 1


async def test_no_is_no_answer_to_ask_again_for():
    with scripted((400, {"error": "invalid command", "code": "QUEUE010", "fix": "x"}, {})) as other:
        async with client_of(other.url) as client:
            with pytest.raises(Refused) as caught:
                await client.create_task("A", {}, idempotency_key="k")
        assert caught.value.final
        assert len(other.asked) == 1


async def test_an_answer_that_no_queue_would_give_is_told_with_the_address():
    with scripted((200, {"hello": "world"}, {})) as other:
        async with client_of(other.url) as client:
            with pytest.raises(Fault) as caught:
                await client.get_task("t1")
    assert caught.value.entry.code == "QUEUE044"
    assert other.url in caught.value.message


async def test_a_server_that_is_away_is_tried_so_many_times():
    url = f"http://127.0.0.1:{free_port()}"
    async with client_of(url, retries=2) as client:
        with pytest.raises(Fault) as caught:
            await client.claim_task(["A"])
    assert caught.value.entry.code == "QUEUE040"
    assert url in caught.value.message


async def test_each_role_has_its_token_or_the_producers():
    tokens: list[str] = []

    class Http:
        async def request(self, method: str, url: str, headers: Any, body: bytes, seconds: float):
            tokens.append(headers["Authorization"])
            raise AssertionError("enough")

        async def close(self) -> None:
            """Nothing is open."""

    for given in ({"worker_token": "w", "admin_token": "a"}, {}):
        client = QueueClient("http://x", producer_token="p", http=Http(), **given)  # type: ignore[arg-type]
        for ask in (client.create_task("A", {}), client.claim_task(), client.list_queues()):
            with pytest.raises(AssertionError):
                await ask
    assert tokens == ["Bearer p", "Bearer w", "Bearer a", "Bearer p", "Bearer p", "Bearer p"]


async def test_a_token_that_has_expired_is_asked_for_again():
    given = iter(("old", "new", "new"))
    refused = (401, {"error": "token expired", "code": "AUTH002"}, {})
    good = (200, {**TASK, "leaseToken": "x"}, {})
    with scripted(refused, good, refused) as other:
        async with client_of(other.url, worker_token=lambda: next(given)) as client:
            assert await client.claim_task(["A"]) is not None
            # The same one again is no reason to ask a second time.
            with pytest.raises(Refused):
                await client.claim_task(["A"])
    assert len(other.asked) == 3


# --- without asyncio -------------------------------------------------------------------------


def test_the_blocking_client_has_every_method_of_the_other():
    def public(kind: type) -> set[str]:
        return {name for name in dir(kind) if not name.startswith("_")}

    assert public(QueueClient) - public(SyncQueueClient) == {"address"}


def test_the_blocking_client_is_shared_by_threads(server: Server, command: str):
    with SyncQueueClient(server.base_url) as client:
        made: list[str] = []

        def create() -> None:
            made.extend(client.create_task(command, n).id for n in range(5))

        threads = [threading.Thread(target=create) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {task.id for task in client.all_tasks(command=command)} == set(made)
        assert len(made) == 20


def test_the_blocking_client_works_on_both_sides_of_a_fork(server: Server, command: str):
    client = SyncQueueClient(server.base_url)
    first = client.create_task(command, 1)
    child = os.fork()
    if child == 0:
        code = 0 if client.get_task(first.id).id == first.id else 1
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert client.get_task(first.id).status == "PENDING"
    client.close()
    client.close()
