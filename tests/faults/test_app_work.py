"""Faults of workflows and jobs, made with a real server on real PostgreSQL; the doctor names each."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.faults.apps import Served, serving
from tests.faults.consulting import causes
from tests.queue.support import until
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


Start = Callable[..., Served]


@pytest.fixture
def start(tmp_path: Path, postgres: PostgresServer) -> Iterator[Start]:
    name = f"work_{os.getpid()}_{abs(hash(tmp_path.name)) % 10**8}"
    postgres.sql(f"CREATE DATABASE {name}")
    open_ = []

    def begun(**env: str) -> Served:
        # A server without a queue refuses a program with steps for its workers.
        program = PROGRAM + (OUTSIDE if "CODEQ_BASE_URL" in env else "")
        open_.append(serving(tmp_path, program, postgres.url(name), **env))
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
