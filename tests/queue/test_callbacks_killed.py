"""kill -9 at random points while tasks end: whatever result was acknowledged is told, at least once,
with what the result said."""

import random
import threading
import time
from pathlib import Path

import pytest
from tests.queue.receiver import Receiver, in_turn, status
from tests.queue.support import Server, until

CONFIG = (
    "webhookTimeoutSeconds: 0.3\n"
    "resultWebhookMaxAttempts: 1000\n"
    "resultWebhookBaseBackoffSeconds: 0.05\n"
    "resultWebhookMaxBackoffSeconds: 0.2\n"
)


class Working:
    """One client after the other: a task, its claim, its result. `ended` has what was answered."""

    def __init__(self, server: Server, url: str) -> None:
        self.ended: dict[str, int] = {}
        self._server = server
        self._url = url
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(n,)) for n in range(3)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _work(self, number: int) -> None:
        count = number * 1_000_000
        while not self._stopping.is_set():
            count += 1
            try:
                self._once(f"C{number}", count)
            except (OSError, ValueError):
                # The server is being killed; what was not answered need not hold.
                time.sleep(0.01)

    def _once(self, command: str, count: int) -> None:
        body = {"command": command, "payload": {}, "webhook": self._url}
        if self._server.post("/tasks", body, timeout=5).status != 202:
            return
        claimed = self._server.post("/tasks/claim", {"commands": [command]}, timeout=5)
        if claimed.status != 200:
            return
        task = claimed.json
        done = {"status": "COMPLETED", "result": {"n": count}, "leaseToken": task["leaseToken"]}
        if self._server.post(f"/tasks/{task['id']}/result", done, timeout=5).status == 200:
            self.ended[task["id"]] = count


def rounds(folder: Path, points: int, seed: int) -> None:
    dice = random.Random(seed)
    config = folder / "config.yaml"
    config.write_text(CONFIG)
    server = Server(folder / "data", "--config", str(config)).start()
    # Every third call is refused, so that tries wait when the server dies.
    moods = in_turn(*([status(200), status(503), status(204)] * 20_000))
    with Receiver(moods) as receiver:
        working = Working(server, receiver.url)
        try:
            for _ in range(points):
                time.sleep(dice.uniform(0.05, 0.6))  # the random point, not a wait for something
                server.kill()
                server.start()
            working.stop()
            until(lambda: server.get("/admin/deliveries").json["data"] == [], 60)
            given_up = server.get("/admin/deliveries?givenUp=true").json["data"]
        finally:
            working.stop()
            server.kill()
        told = {body["taskId"]: body["result"] for body in receiver.bodies}
    assert given_up == []
    assert working.ended
    assert {id_: told.get(id_) for id_ in working.ended} == {
        id_: {"n": count} for id_, count in working.ended.items()
    }


def test_weakness_11_no_acknowledged_end_goes_untold_however_the_server_is_killed(tmp_path: Path):
    rounds(tmp_path, points=3, seed=11)


@pytest.mark.slow
def test_ends_are_told_for_as_long_as_the_torture_lasts(
    tmp_path: Path, torture_seconds: float, chance: random.Random
):
    end = time.monotonic() + torture_seconds
    while time.monotonic() < end:
        folder = tmp_path / str(int(time.monotonic() * 1000))
        folder.mkdir()
        rounds(folder, points=10, seed=chance.randrange(10**6))
