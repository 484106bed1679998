"""kill -9 of the real server at random points under load (Q46).

Producers and workers go on through every death and write down what was answered. In the end
every accepted task has been done or is a dead letter, and no acknowledged result was undone.
"""

import http.client
import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.queue.support import Server, until

PRODUCERS, WORKERS = 3, 3
CONFIG = (
    "backoffPolicy: fixed\nbackoffBaseSeconds: 0.05\nbackoffMaxSeconds: 0.05\n"
    "maxAttemptsDefault: 100000\n"
)
_BROKEN = (OSError, http.client.HTTPException)


class Ledger:
    """What clients were told. A list or dictionary item is written after the answer came."""

    def __init__(self) -> None:
        self.accepted: dict[str, str] = {}
        self.results: dict[str, int] = {}
        self.redelivered: list[str] = []
        self.doubled: list[str] = []


class Load:
    """Clients in threads, until `stop`."""

    def __init__(self, server: Server, seed: int) -> None:
        self.ledger = Ledger()
        self._server = server
        self._stopping = threading.Event()
        self._creating = threading.Event()
        self._creating.set()
        self._threads = [
            *(threading.Thread(target=self._produce, args=(n,)) for n in range(PRODUCERS)),
            *(
                threading.Thread(target=self._work, args=(random.Random(seed * 100 + n),))
                for n in range(WORKERS)
            ),
        ]
        for thread in self._threads:
            thread.start()

    def no_more(self) -> None:
        self._creating.clear()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)

    def _call(self, path: str, body: object) -> Any:
        """An answer, or None when the server died meanwhile."""
        try:
            return self._server.post(path, body, timeout=10)
        except _BROKEN:
            time.sleep(0.01)  # the server is away: do not spin
            return None

    def _produce(self, number: int) -> None:
        count = 0
        while self._creating.is_set() and not self._stopping.is_set():
            key = f"{number}-{count}"
            body = {"command": "KILL", "payload": {"key": key}, "idempotencyKey": key}
            answer = self._call("/tasks", body)
            if answer is None:
                continue  # unknown outcome: the same key again
            assert answer.status == 202, answer.body
            known = self.ledger.accepted.setdefault(key, answer.json["id"])
            if known != answer.json["id"]:
                self.ledger.doubled.append(key)
            count += 1

    def _work(self, dice: random.Random) -> None:
        while not self._stopping.is_set():
            claim = {"commands": ["KILL"], "leaseSeconds": 1, "waitSeconds": 0.3}
            answer = self._call("/tasks/claim", claim)
            if answer is None or answer.status != 200:
                continue
            task = answer.json
            if task["id"] in self.ledger.results:
                self.ledger.redelivered.append(task["id"])
            chance = dice.random()
            if chance < 0.05:
                continue  # this worker "died": its lease has to end by itself
            if chance < 0.10:
                self._call(f"/tasks/{task['id']}/nack", {"leaseToken": task["leaseToken"]})
                continue
            number = dice.randrange(10**9)
            body = {
                "status": "COMPLETED",
                "result": {"number": number},
                "leaseToken": task["leaseToken"],
            }
            answer = self._call(f"/tasks/{task['id']}/result", body)
            if answer is not None and answer.status == 200:
                self.ledger.results[task["id"]] = number


def _rounds(folder: Path, points: int, seed: int) -> None:
    dice = random.Random(seed)
    config = folder / "config.yaml"
    config.write_text(CONFIG)
    server = Server(folder / "data", "--config", str(config)).start()
    load = Load(server, seed)
    try:
        for _ in range(points):
            time.sleep(dice.uniform(0.05, 0.5))  # the random point, not a wait for something
            server.kill()
            server.start()
        load.no_more()
        until(lambda: _open(server) == 0, 60)
        load.stop()
        _judge(server, load.ledger)
    finally:
        load.stop()
        server.kill()


def _open(server: Server) -> int:
    depth = server.get("/admin/queues/KILL").json
    return int(depth["ready"] + depth["delayed"] + depth["inProgress"])


def _judge(server: Server, ledger: Ledger) -> None:
    assert len(ledger.accepted) > 20
    assert ledger.doubled == []
    assert ledger.redelivered == []
    for task_id in ledger.accepted.values():
        found = server.task(task_id)
        assert found["status"] == "COMPLETED" or found["lastKnownLocation"] == "DLQ_SET", found
    for task_id, number in ledger.results.items():
        kept = server.get(f"/tasks/{task_id}/result").json["result"]["result"]
        assert kept == {"number": number}


@pytest.mark.seed("Q46")
def test_nothing_accepted_is_lost_and_no_result_is_undone_by_kill_9(tmp_path: Path):
    _rounds(tmp_path, points=5, seed=46)


@pytest.mark.slow
def test_kill_9_for_as_long_as_the_torture_lasts(
    tmp_path: Path, torture_seconds: float, chance: random.Random
):
    end = time.monotonic() + torture_seconds
    while time.monotonic() < end:
        folder = tmp_path / str(int(time.monotonic() * 1000))
        folder.mkdir()
        _rounds(folder, points=10, seed=chance.randrange(10**6))
