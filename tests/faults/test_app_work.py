"""Faults of workflows and jobs, made with a real server on real PostgreSQL; the doctor names each."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.faults.consulting import causes, consult
from tests.queue.support import clean_env, until
from tests.servers.postgres import PostgresServer

from backstay.up.ports import free_port

PROGRAM = """
entity Note { id: uuid, primary, auto, text: string, required }
integration Till {
  type: rest
  base_url: env("TILL_URL", "http://127.0.0.1:9")
  operation pay { method: POST, path: "/pay" }
}
workflow fine { steps { write { do { create Note { text: "done" } } } } }
workflow broken {
  input { by: int, required }
  steps { divide { do { let n = 10 / by  create Note { text: "{n}" } } } }
}
job clean { schedule: "0 3 1 1 *", do { create Note { text: "clean" } } }
job dirty { schedule: "0 3 1 1 *", do { fail "the shelf is full" } }
"""


OUTSIDE = 'workflow outside { steps { print { task: PRINT { text: "x" } } } }'


class Served:
    """`codeai server` with its data folder, on a database of its own."""

    def __init__(self, data: Path, port: int, database: str) -> None:
        self.data = data
        self.database = database
        self.url = f"http://127.0.0.1:{port}"

    def post(self, path: str, body: object = None) -> dict[str, object]:
        asked = urllib.request.Request(
            f"{self.url}/api/v1{path}",
            json.dumps(body or {}).encode(),
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return dict(json.loads(answer.read()))

    def get(self, path: str) -> dict[str, object]:
        with urllib.request.urlopen(f"{self.url}/api/v1{path}", timeout=20) as answer:
            return dict(json.loads(answer.read()))

    def run(self, workflow: str, **given: object) -> str:
        """Start it and wait for its end; the execution's id."""
        made = str(self.post(f"/workflows/{workflow}/start", given)["id"])
        over = ("completed", "failed", "compensated")
        until(lambda: self.get(f"/executions/{made}")["status"] in over, 30.0)
        return made

    def named(self, *words: str) -> list[dict[str, object]]:
        _, verdict = consult(self.data, *words, "--url", self.url)
        assert verdict["unclear"] == [], verdict
        found: list[dict[str, object]] = verdict["findings"]
        return found


@contextmanager
def serving(folder: Path, database: str, **env: str) -> Iterator[Served]:
    # A server without a queue refuses a program with steps for its workers.
    outside = OUTSIDE if "CODEQ_BASE_URL" in env else ""
    (folder / "app.cai").write_text(PROGRAM + outside)
    port = free_port()
    words = [sys.executable, "-m", "backstay.cli.codeai", "server", str(folder / "app.cai")]
    words += ["--port", str(port), "--data", str(folder / "data")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            words, env=clean_env() | {"DATABASE_URL": database, **env}, stdout=log, stderr=log
        )
    made = Served(folder / "data", port, database)

    def answers() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        try:
            return bool(made.get("/workflows"))
        except OSError:
            return False

    try:
        until(answers, 40.0)
        yield made
    finally:
        process.terminate()
        process.wait(20)


Start = Callable[..., Served]


@pytest.fixture
def start(tmp_path: Path, postgres: PostgresServer) -> Iterator[Start]:
    name = f"work_{os.getpid()}_{abs(hash(tmp_path.name)) % 10**8}"
    postgres.sql(f"CREATE DATABASE {name}")
    open_ = []

    def begun(**env: str) -> Served:
        open_.append(serving(tmp_path, postgres.url(name), **env))
        return open_[-1].__enter__()

    yield begun
    for each in open_:
        each.__exit__(None, None, None)


def test_an_app_that_works_is_left_in_peace(start: Start) -> None:
    served = start()
    served.run("fine")
    served.post("/jobs/clean/run")
    # One execution that failed may be what its program wants.
    served.run("broken", by=0)
    served.run("broken", by=5)
    assert served.named() == []


def test_a_workflow_fails_each_time(start: Start) -> None:
    served = start()
    served.run("broken", by=5)
    last = [served.run("broken", by=0) for _ in range(3)][-1]
    (finding,) = served.named()
    assert finding["cause"] == "workflow-fails"
    assert "broken fails, 3 times in a row" in str(finding["says"])
    assert "division" in str(finding["says"])
    assert last in str(finding["fixes"])


def test_who_says_that_a_workflow_failed_hears_of_the_one_that_did(start: Start) -> None:
    served = start()
    served.run("broken", by=0)
    (finding,) = served.named("my workflow failed")
    assert finding["cause"] == "workflow-fails"


def test_a_job_fails(start: Start) -> None:
    served = start()
    served.post("/jobs/dirty/run")
    until(lambda: bool(served.named()), 25.0)
    (finding,) = served.named()
    assert finding["cause"] == "job-fails"
    assert "the last run of the job dirty failed" in str(finding["says"])
    assert "the shelf is full" in str(finding["says"])


def test_the_queue_is_not_reached(start: Start) -> None:
    served = start(CODEQ_BASE_URL=f"http://127.0.0.1:{free_port()}")
    served.post("/workflows/outside/start", {})
    until(lambda: causes({"findings": served.named()}) == ["queue-not-reached"], 40.0)
    (finding,) = served.named()
    assert "calls of PRINT have not reached the queue" in str(finding["says"])


def test_an_undoing_was_given_up(start: Start, postgres: PostgresServer) -> None:
    """The state is put there by hand: it takes seventeen hours of refusals to come about."""
    served = start()
    made = served.run("broken", by=0)
    database = served.database.rpartition("/")[2]
    put = f"UPDATE executions SET status = 'compensation_failed' WHERE id = '{made}'"
    postgres.sql(put, database)
    (finding,) = served.named()
    assert finding["cause"] == "compensation-lost"
    assert f"codeai workflow compensate {made}" in str(finding["fixes"])
