"""The Grafana dashboard: every query of every panel, asked of a real Prometheus that scraped a real
server under a small load of everything, finds data. Grafana itself is not here to draw it."""

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from tests.deploy.monitoring import DEPLOY, Prometheus
from tests.queue.receiver import Receiver
from tests.queue.support import Server, serving, until

BOARD = json.loads((DEPLOY / "grafana" / "codeq.json").read_text())
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]


def queries() -> Iterator[tuple[str, str]]:
    for panel in PANELS:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def as_grafana_sends(expression: str) -> str:
    """With the dashboard's variables put in."""
    values = {"$__rate_interval": "10s", "$command": ".*"}
    for name, value in values.items():
        expression = expression.replace(name, value)
    assert "$" not in expression, f"a variable nobody declares: {expression}"
    return expression


def test_panels_neither_overlap_nor_leave_the_page() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells


def test_panels_have_names_of_their_own_and_the_chosen_source() -> None:
    titles = [panel["title"] for panel in PANELS]
    assert len(set(titles)) == len(titles)
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
    for panel in PANELS:
        assert panel["datasource"]["uid"] == "${datasource}", panel["title"]
        assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]


class Load:
    """A little of everything, again and again: done, failed, given back, lost, dead, called back,
    refused by a limit, put off, waited for."""

    def __init__(self, server: Server, receiver: Receiver) -> None:
        self.server = server
        self.receiver = receiver
        self.stopped = threading.Event()
        self.failure: Exception | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        hook = {"callbackUrl": f"{receiver.url}/notice", "eventTypes": ["*"], "ttlSeconds": 600}
        answer = server.post("/workers/subscriptions", hook)
        assert answer.status in (200, 201), answer.body

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.thread.join(30)
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        try:
            while not self.stopped.is_set():
                self._round()
        except Exception as failure:  # noqa: BLE001 - raised again where the test sees it
            self.failure = failure

    def _round(self) -> None:
        server = self.server
        server.create("PRINT", webhook=f"{self.receiver.url}/result")
        self._end("PRINT", {"status": "COMPLETED", "result": {}})
        server.create("PRINT")
        self._end("PRINT", {"status": "FAILED", "error": "no ink"})
        for command, attempts in (("SHIP", 1), ("RETRY", 2)):
            server.create(command, maxAttempts=attempts)
            task = self._claimed(command)
            server.post(f"/tasks/{task['id']}/nack", {"leaseToken": task["leaseToken"]})
        server.create("LOSE", maxAttempts=2)
        server.claim("LOSE", leaseSeconds=0.1)
        server.create("LATER", delaySeconds=600)
        server.create("WAIT")
        server.post("/admin/tasks/cleanup", {})
        self.stopped.wait(0.1)

    def _claimed(self, command: str) -> dict[str, Any]:
        task = self.server.claim(command, waitSeconds=1)
        assert task is not None, command
        return task

    def _end(self, command: str, result: dict[str, Any]) -> None:
        task = self._claimed(command)
        path = f"/tasks/{task['id']}/result"
        answer = self.server.post(path, {**result, "leaseToken": task["leaseToken"]})
        assert answer.status == 200, answer.body


def test_every_query_finds_data(tmp_path: Path) -> None:
    limits = tmp_path / "config.yaml"
    limits.write_text(
        "rateLimit: {admin: {requestsPerMinute: 1, burstSize: 1}}\nwebhookEgressAllow: [loopback]\n"
    )
    with Receiver() as receiver, serving(tmp_path / "data", "--config", str(limits)) as server:
        prometheus = Prometheus(tmp_path, [f"127.0.0.1:{server.port}"])
        try:
            with Load(server, receiver):
                missing = dict.fromkeys(queries())

                def all_found() -> bool:
                    for one in list(missing):
                        if prometheus.query(as_grafana_sends(one[1])):
                            del missing[one]
                    return not missing

                try:
                    until(all_found, 60.0)
                except AssertionError:
                    pytest.fail(f"no data: {json.dumps(list(missing), indent=1)}")
        finally:
            prometheus.stop()


def test_alerts_are_marked_on_the_panels() -> None:
    marked = BOARD["annotations"]["list"][0]["expr"]
    assert re.search(r'ALERTS\{.*alertname=~"Codeq\.\+"', marked)
