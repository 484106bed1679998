"""How records become a state: only what ran against a real process is passing."""

from typing import Any

import pytest
from tests.conformance.table import Row, judge, line, table, total


def record(outcome: str, *processes: str, ids: tuple[str, ...] = ("Q1",)) -> dict[str, Any]:
    return {
        "test": "tests/t.py::test_t",
        "ids": list(ids),
        "outcome": outcome,
        "reason": "go is absent" if outcome == "skipped" else "",
        "processes": list(processes),
    }


@pytest.mark.parametrize(
    ("records", "state"),
    [
        ([record("passed", "codeq-server")], "passing"),
        ([record("passed")], "not covered"),
        ([record("passed", "codeq-server"), record("passed")], "passing"),
        ([record("passed", "codeq-server"), record("failed")], "failing"),
        ([record("skipped")], "skipped"),
        ([record("skipped"), record("passed")], "skipped"),
        ([record("skipped"), record("passed", "codeq-server")], "passing"),
        ([], "not covered"),
    ],
)
def test_the_state_of_a_statement(records: list[dict[str, Any]], state: str) -> None:
    assert judge(records).state == state


def test_an_in_process_test_is_said_to_be_one() -> None:
    assert line("Q1", judge([record("passed")])) == "Q1   not covered  in-process only"


def test_a_skip_says_why_and_a_pass_says_against_what() -> None:
    assert line("Q14", judge([record("skipped")])) == "Q14  skipped      go is absent"
    passed = judge([record("passed", "postgres 15.18", "codeai")])
    assert line("C1", passed) == "C1   passing      codeai, postgres 15.18"


def test_the_closing_line_has_one_exact_form() -> None:
    rows = table([record("passed", "codeq-server", ids=("Q1", "Q2")), record("skipped")], "Q")
    assert total("Q", rows) == "Q: 2 passing, 0 failing, 0 skipped, 44 not covered, of 46"
    assert rows["Q3"] == Row("not covered", "", ())
