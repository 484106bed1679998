"""When a job or a workflow is due."""

import pytest

from backstay.lang.api import check_text

JOB = "job j {{ schedule: {} do {{ }} }}"
WORKFLOW = "workflow w {{ trigger: schedule {} steps {{ s {{ check: true }} }} }}"


@pytest.mark.parametrize("owner", [JOB, WORKFLOW], ids=["job", "workflow"])
@pytest.mark.parametrize("period", ["0s", "0ms", "0.0h"])
def test_a_period_of_nothing_is_refused(owner: str, period: str) -> None:
    program, (found,) = check_text("a.cai", owner.format(f"every {period}\n"))
    assert program is None
    assert (found.code, found.message) == (
        "LANG102",
        "every 0s is no period: it would be due all the time",
    )
    assert found.hint == "write a period above zero: every 1h"


@pytest.mark.parametrize("owner", [JOB, WORKFLOW], ids=["job", "workflow"])
def test_a_period_below_nothing_is_refused(owner: str) -> None:
    program, (found,) = check_text("a.cai", owner.format("every -5m\n"))
    assert program is None
    assert (found.code, found.message) == (
        "LANG010",
        "expected a duration such as 1h, got '-'",
    )


@pytest.mark.parametrize("owner", [JOB, WORKFLOW], ids=["job", "workflow"])
def test_a_period_above_nothing_is_sound(owner: str) -> None:
    program, found = check_text("a.cai", owner.format("every 1ms\n"))
    assert program is not None
    assert [each for each in found if each.severity == "error"] == []
