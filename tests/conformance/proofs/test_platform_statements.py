"""Statements of the platform's list against `backstay up`."""

import json
import subprocess
from collections.abc import Iterator

import pytest
from tests.conformance.proofs.support import PATIENCE
from tests.e2e.stack import Stack, backstay, running, until


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("g")) as made:
        yield made


def ask(stack: Stack, name: str) -> None:
    answer = stack.ask("GET", "/api/v1/products?limit=1", headers={"X-Request-ID": name})
    assert answer.status == 200


@pytest.mark.seed("G18")
def test_the_last_lines_of_a_log_and_those_to_come(stack: Stack) -> None:
    for number in range(120):
        ask(stack, f"g18-{number}")

    def last(lines: int) -> list[str]:
        done = stack.command("logs", "app", "--lines", str(lines))
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    until(lambda: "g18-119" in last(1)[0], PATIENCE, lambda: str(last(2)))
    shown = last(100)
    assert [json.loads(line)["request_id"] for line in shown] == [
        f"g18-{number}" for number in range(20, 120)
    ]
    assert len(last(7)) == 7

    # Without a name those of all processes; with --follow also what comes.
    seen = stack.data.parent / "followed.txt"
    words = (*backstay("logs", "--follow", "-n", "100"), "--data", str(stack.data))
    with seen.open("wb") as out, subprocess.Popen(words, stdout=out, env=stack.env) as follower:
        try:
            until(lambda: seen.read_text().count("\n") == 100, PATIENCE, seen.read_text)
            ask(stack, "g18-to-come")
            until(lambda: seen.read_text().count("g18-to-come") == 2, PATIENCE, seen.read_text)
        finally:
            follower.terminate()
    names = {line.split()[0] for line in seen.read_text().splitlines() if "g18-to-come" in line}
    assert names == {"app", "gateway"}
