"""`python -m tests.conformance.table [ONLY=Q]`: runs the tests that prove statements and prints
for every statement of the five lists whether it holds.

A statement is passing when a test of it passed with at least one real process, failing when any
test of it failed, skipped when its tests were skipped; anything else is not covered, also a test
that stayed inside its own process, because the lists ask for real components.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tests.conformance.statements import LETTERS, statements

State = Literal["passing", "failing", "skipped", "not covered"]
ROOT = Path(__file__).parents[2]
NO_TESTS = 5


class Row(NamedTuple):
    """What is known of one statement."""

    state: State
    note: str
    processes: Sequence[str]


def judge(records: Sequence[Mapping[str, Any]]) -> Row:
    """The state of a statement from the records of its tests."""
    by_outcome: dict[str, list[Mapping[str, Any]]] = {"passed": [], "failed": [], "skipped": []}
    for record in records:
        by_outcome[record["outcome"]].append(record)
    proofs = [record for record in by_outcome["passed"] if record["processes"]]
    processes = sorted({name for record in records for name in record["processes"]})
    if by_outcome["failed"]:
        return Row("failing", by_outcome["failed"][0]["test"], processes)
    if proofs:
        return Row("passing", "", processes)
    if by_outcome["skipped"]:
        return Row("skipped", by_outcome["skipped"][0]["reason"], processes)
    return Row("not covered", "in-process only" if by_outcome["passed"] else "", ())


def table(records: Sequence[Mapping[str, Any]], letters: Iterable[str]) -> dict[str, Row]:
    """A row for each statement of the lists asked for."""
    wanted = set(letters)
    return {
        statement: judge([record for record in records if statement in record["ids"]])
        for statement in statements()
        if statement[0] in wanted
    }


def line(statement: str, row: Row) -> str:
    parts = [f"{statement:<4} {row.state:<11}", row.note, ", ".join(row.processes)]
    return "  ".join(part for part in parts if part)


def total(letter: str, rows: Mapping[str, Row]) -> str:
    """`Q: 12 passing, 0 failing, 1 skipped, 33 not covered, of 46`."""
    own = [row.state for statement, row in rows.items() if statement[0] == letter]
    count = Counter(own)
    states: tuple[State, ...] = ("passing", "failing", "skipped", "not covered")
    return (
        f"{letter}: "
        + ", ".join(f"{count[state]} {state}" for state in states)
        + (f", of {len(own)}")
    )


def run(letters: str) -> tuple[int, list[dict[str, Any]]]:
    """pytest's exit code and the records of the marked tests."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {"TORTURE_SECONDS": "60", **os.environ, "BACKSTAY_RESULTS": folder}
        command = [sys.executable, "-m", "pytest", "-n", "2", f"--conformance={letters}"]
        code = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        return code, [
            json.loads(text)
            for file in sorted(Path(folder).glob("*.jsonl"))
            for text in file.read_text(encoding="utf-8").splitlines()
        ]


def main(arguments: Sequence[str]) -> int:
    only = "".join(word.removeprefix("ONLY=") for word in arguments).upper()
    letters = only or "".join(LETTERS)
    if set(letters) - set(LETTERS):
        print(f"ONLY takes letters of {''.join(LETTERS)}, not {only}", file=sys.stderr)
        return 2
    code, records = run(letters)
    rows = table(records, letters)
    print("\n".join(line(*entry) for entry in rows.items()))
    print()
    print("\n".join(total(letter, rows) for letter in LETTERS if letter in letters))
    return 0 if code in (0, NO_TESTS) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
