"""A real fault fires the alert: codeq-server, Prometheus, Alertmanager, and somebody who is paged.

The rules are the shipped ones with seconds in place of minutes, so that nobody waits for them.
"""

import re
import resource
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.deploy.monitoring import RULES, Alertmanager, Prometheus, paged
from tests.queue.receiver import Receiver
from tests.queue.support import Server, until
from tests.servers.require import absent
from tests.servers.valkey import RedisServer, system_binary

_WAIT = 45.0


def hurried(rules: dict[str, Any]) -> dict[str, Any]:
    """The same rules for a test: `for` is a second, ranges are ten, and what may wait ten minutes
    may wait two seconds."""
    for rule in rules["groups"][0]["rules"]:
        rule["for"] = "1s"
        expression = re.sub(r"\[\d+m\]", "[10s]", rule["expr"])
        rule["expr"] = re.sub(r"> 600$", "> 2", expression)
    return rules


class Watched:
    """A served queue that somebody looks after."""

    def __init__(self, server: Server, prometheus: Prometheus, receiver: Receiver) -> None:
        self.server = server
        self.prometheus = prometheus
        self.receiver = receiver

    def assert_paged(self, alert: str, again: Callable[[], object] = lambda: None) -> str:
        """The alert fires and reaches a person; gives its summary. The trouble goes on meanwhile:
        Prometheus sees a counter grow only from its second look on."""

        def fires() -> bool:
            again()
            return alert in self.prometheus.firing()

        until(fires, _WAIT)
        until(lambda: alert in paged(self.receiver), _WAIT)
        return paged(self.receiver)[alert]


@contextmanager
def watching(tmp_path: Path, env: Mapping[str, str]) -> Iterator[Watched]:
    rules = tmp_path / "rules.yml"
    rules.write_text(yaml.safe_dump(hurried(yaml.safe_load(RULES.read_text()))))
    started: list[Any] = []
    limited = tmp_path / "config.yaml"
    limited.write_text("rateLimit: {admin: {requestsPerMinute: 1, burstSize: 1}}\n")
    with Receiver() as receiver:
        try:
            server = Server(tmp_path / "data", "--config", str(limited), env=env).start()
            started.append(server)
            config = {
                "route": {"receiver": "all", "group_wait": "1s", "group_interval": "1s"},
                "receivers": [{"name": "all", "webhook_configs": [{"url": receiver.url}]}],
            }
            alertmanager = Alertmanager(tmp_path, config)
            started.append(alertmanager)
            target = f"127.0.0.1:{server.port}"
            prometheus = Prometheus(tmp_path, [target], [rules], alertmanager.address)
            started.append(prometheus)
            until(lambda: prometheus.query('up{job="codeq"} == 1'), _WAIT)
            yield Watched(server, prometheus, receiver)
        finally:
            for one in reversed(started):
                one.stop()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with watching(tmp_path, {}) as looked_after:
        yield looked_after


def test_a_redis_that_goes_away_pages(tmp_path: Path) -> None:
    binary = system_binary()
    if binary is None:
        absent("redis-server", "Debian: sudo apt-get install redis-server")
    (tmp_path / "redis").mkdir()
    redis = RedisServer(binary, tmp_path / "redis")
    try:
        with watching(tmp_path, {"REDIS_ADDR": redis.address}) as looked_after:
            redis.kill()
            looked_after.assert_paged("CodeqStoreDown")
            redis.restart()
            until(lambda: "CodeqStoreDown" not in looked_after.prometheus.firing(), _WAIT)
    finally:
        redis.stop()


def test_work_that_is_done_alerts_nobody(watched: Watched) -> None:
    done = watched.server
    for _ in range(20):
        done.create("PRINT")
        task = done.claim("PRINT")
        assert task is not None
        result = {"status": "COMPLETED", "result": {}, "leaseToken": task["leaseToken"]}
        assert done.post(f"/tasks/{task['id']}/result", result).status == 200
    scraped = 'codeq_task_completed_total{command="PRINT"} == 20'
    until(lambda: watched.prometheus.query(scraped), _WAIT)
    until(lambda: watched.prometheus.query(f"count_over_time(({scraped})[5s:1s]) >= 4"), _WAIT)
    assert watched.prometheus.firing() == set()
    assert paged(watched.receiver) == {}


def test_each_real_fault_fires_its_alert(watched: Watched) -> None:
    server = watched.server
    # Nobody asks for this one.
    server.create("LONELY")
    assert "LONELY" in watched.assert_paged("CodeqNobodyPolls")
    assert "LONELY" in watched.assert_paged("CodeqOldestTask")
    # A worker that fails for the last time.
    server.create("BROKEN", maxAttempts=1)
    task = server.claim("BROKEN")
    assert task is not None
    nack = {"reason": "no ink", "leaseToken": task["leaseToken"]}
    assert server.post(f"/tasks/{task['id']}/nack", nack).status == 200
    assert "BROKEN" in watched.assert_paged("CodeqDeadLetters")

    # A caller that does not know when to stop.
    def insist() -> None:
        server.post("/admin/tasks/cleanup", {})

    assert "admin" in watched.assert_paged("CodeqRateLimited", insist)
    # The store may not grow by a byte.
    assert server.process is not None
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (0, 0))

    def send() -> None:
        assert server.post("/tasks", {"command": "PRINT", "payload": {}}).status >= 500

    watched.assert_paged("CodeqStoreErrors", send)
    server.kill()
    watched.assert_paged("CodeqDown")


def test_results_that_are_failures_and_leases_that_end(watched: Watched) -> None:
    server = watched.server

    def fail() -> None:
        server.create("SHIP")
        task = server.claim("SHIP")
        assert task is not None
        result = {"status": "FAILED", "error": "no stamp", "leaseToken": task["leaseToken"]}
        assert server.post(f"/tasks/{task['id']}/result", result).status == 200

    def lose() -> None:
        server.create("PRINT")
        assert server.claim("PRINT", leaseSeconds=0.1) is not None

    assert "SHIP" in watched.assert_paged("CodeqFailures", fail)
    assert "PRINT" in watched.assert_paged("CodeqLeasesExpire", lose)
