"""One code, one meaning: across every catalogue of the package."""

import re
from collections import Counter
from pathlib import Path

import pytest

from backstay.core.context import ANONYMOUS, RequestContext
from backstay.core.errors import ErrorEntry, Fault, for_terminal, index, problem

SOURCES = Path(__file__).parents[2] / "src" / "backstay"
GONE = ErrorEntry(
    code="CORE999",
    message="{file} is gone",
    cause="somebody moved {file}",
    fix="put {file} back",
    status=503,
    retryable=True,
)


def test_no_code_is_declared_twice() -> None:
    declared = Counter(
        code
        for path in SOURCES.rglob("*.py")
        for code in re.findall(r'code="([A-Z]+\d{3})"', path.read_text())
    )
    assert declared
    assert [code for code, times in declared.items() if times > 1] == []


def test_an_index_refuses_two_meanings_of_a_code() -> None:
    twin = ErrorEntry(code="CORE999", message="other", cause="", fix="")
    with pytest.raises(ValueError, match="CORE999"):
        index([[GONE], [twin]])


def test_a_problem_carries_the_plain_error_string_and_the_request_id() -> None:
    shown = problem(Fault(GONE, file="a.db"), RequestContext("r-1", ANONYMOUS))
    assert shown.error == shown.detail == "a.db is gone"
    assert shown.instance == "urn:backstay:request:r-1"
    assert (shown.status, shown.code, shown.retryable) == (503, "CORE999", True)


def test_the_terminal_is_told_what_why_and_what_to_do() -> None:
    text = for_terminal(Fault(GONE, file="a.db"))
    assert text.splitlines()[0] == "error CORE999: a.db is gone"
    assert "put a.db back" in text
    assert "backstay explain CORE999" in text


def test_a_value_nobody_gave_leaves_a_question_mark_not_a_crash() -> None:
    assert Fault(GONE).message == "? is gone"
