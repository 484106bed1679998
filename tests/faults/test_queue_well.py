"""A queue that is well, and somebody who complains about it in the words of codeQ's own guide: the
guide that answers those words is found, and none of its causes is named."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.consulting import HEALTHY, causes, consult
from tests.faults.test_queue_guides import SEED_SECTIONS
from tests.queue.support import CODEQ, Server, clean_env, serving, until

from backstay.doctor.symptoms import named
from backstay.queue.guides import GUIDES

SYMPTOMS = {
    "CLI Command Not Found": "codeq: command not found",
    "CLI Cannot Connect to API": "codeq: Connection refused, timeout errors",
    "Authentication Errors": "401 Unauthorized, 403 Forbidden",
    "Server Won't Start": "Server crashes or exits immediately",
    "High Memory Usage": "Server consumes excessive memory",
    "Slow Response Times": "API requests take too long",
    "Worker Not Claiming Tasks": "Worker runs but never claims tasks",
    "Worker Lease Expired": "Tasks reassigned while worker is processing",
    "NACK/Retry Loop": "Tasks repeatedly fail and retry",
    "Connection Refused": "Cannot connect to KVRocks",
    "Data Inconsistency": "Tasks stuck, incorrect queue counts",
    "High Memory Usage in KVRocks": "KVRocks consuming too much memory",
    "JWT Token Expired": "401 Unauthorized errors",
    "JWKS Validation Failure": "invalid signature, unable to find key",
    "Missing Scopes": "403 Forbidden when claiming tasks",
    "Helm Chart Installation Fails": "Helm install errors",
    "Pod CrashLoopBackOff": "Pod repeatedly crashes",
    "High Latency": "Slow API responses",
    "Task Delays": "Tasks not processed quickly enough",
}
PAST = (
    "error QUEUE042: error (503): cannot connect to the store at 127.0.0.1:6666: refused",
    "CORE047: queue.db has schema version 9; this program knows up to 2",
    "QUEUE009 missing scope codeq:claim",
    "OOM command not allowed when used memory > 'maxmemory'",
)
"""Messages of a trouble that there once was."""


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose worker has done its work and waits for more; one task is not due yet."""
    folder = tmp_path_factory.mktemp("well")
    with serving(folder / "data") as server, (folder / "worker.log").open("wb") as log:
        start = ("worker", "start", "--events", "PRINT", "--exec", "true")
        worker = subprocess.Popen(
            (*CODEQ, "--base-url", server.base_url, *start),
            env=clean_env(), stdout=log, stderr=log,
        )  # fmt: skip
        try:
            made = [server.create("PRINT")["id"] for _ in range(5)]
            server.create("LATER", delaySeconds=3600)
            until(lambda: {server.task(one)["status"] for one in made} == {"COMPLETED"}, 30.0)
            yield server
        finally:
            worker.terminate()
            worker.wait(30)


def assert_well(server: Server, *words: str) -> None:
    # codeq lies beside the Python that runs the tests, which need not be on the PATH of these.
    path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    code, verdict = consult(server.data, *words, "--url", server.base_url, env=path)
    assert (causes(verdict), verdict["unclear"]) == ([], []), words
    assert code == HEALTHY, f"no guide knows these words: {words}"


def of(section: str) -> set[str]:
    return {guide.id for guide in GUIDES if section in re.split("[:;] ", guide.seed)}


def test_the_table_has_every_entry_of_the_seed() -> None:
    assert tuple(SYMPTOMS) == SEED_SECTIONS


@pytest.mark.parametrize("section", SEED_SECTIONS)
def test_a_complaint_about_a_queue_that_is_well_names_no_cause(busy: Server, section: str) -> None:
    words = SYMPTOMS[section]
    known = {one.probe.partition(".")[2] for one in named(GUIDES, words)}
    assert known & of(section), f"its guide does not know these words: {known}"
    assert_well(busy, words)


def test_without_a_complaint_all_is_well(busy: Server) -> None:
    assert_well(busy)


@pytest.mark.parametrize("words", PAST)
def test_what_was_wrong_once_is_history(busy: Server, words: str) -> None:
    assert_well(busy, words)
