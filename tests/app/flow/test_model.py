"""The rules of a workflow, without rows and clocks."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstay.app.flow import model
from backstay.app.flow.model import Command, ExecutionStatus, Outcome, StepState, Tries
from backstay.core.backoff import Backoff
from backstay.core.virtual import FixedDice

ONCE = Tries(1, Backoff("fixed", base=1.0, cap=1.0))
THRICE = Tries(3, Backoff("fixed", base=1.0, cap=1.0))
outcomes = st.builds(Outcome, st.sampled_from(["done", "failed", "unknown"]), final=st.booleans())


def test_every_status_and_state_has_its_row_and_leads_only_to_known_ones() -> None:
    assert set(model.EXECUTION_NEXT) == set(get_args(ExecutionStatus))
    assert set().union(*model.EXECUTION_NEXT.values()) <= set(get_args(ExecutionStatus))
    assert set(model.STEP_NEXT) == set(get_args(StepState))
    assert set().union(*model.STEP_NEXT.values()) <= set(get_args(StepState))


def test_a_transition_that_the_table_does_not_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="completed cannot become running"):
        model.move("completed", "running")
    with pytest.raises(ValueError, match="done cannot become pending"):
        model.step_move("done", "pending")


@pytest.mark.parametrize(
    ("command", "to"),
    [("cancel", "compensating"), ("retry", "running"), ("compensate", "compensating")],
)
def test_a_command_is_refused_exactly_where_the_table_has_no_way(command: Command, to: str) -> None:
    for status, following in model.EXECUTION_NEXT.items():
        allowed = not model.refusal(command, status)
        assert not allowed or to in following
    assert any(not model.refusal(command, status) for status in model.EXECUTION_NEXT)


@given(outcomes, st.integers(1, 5), st.booleans())
def test_doubt_never_goes_away_without_a_success(
    outcome: Outcome, attempt: int, unknown: bool
) -> None:
    verdict = model.judge(outcome, attempt, THRICE, FixedDice(), unknown=unknown)
    if unknown or outcome.kind == "unknown":
        assert verdict.unknown
        assert verdict.state in ("pending", "unknown", "done")
    if outcome.kind == "done":
        assert verdict.state == "done"
    elif attempt >= 3 or outcome.final:
        assert verdict.state in ("failed", "unknown")
    else:
        assert verdict.again


def test_retry_after_lengthens_a_delay_but_not_for_ever() -> None:
    later = model.judge(Outcome("failed", retry_after=9.0), 1, THRICE, FixedDice(), unknown=False)
    assert later.delay == 9.0
    never = model.judge(Outcome("failed", retry_after=1e9), 1, THRICE, FixedDice(), unknown=False)
    assert never.delay == model.RETRY_AFTER_LIMIT


def test_compensations_insist_where_steps_give_up() -> None:
    no = Outcome("failed", final=True)
    assert not model.judge(no, 1, THRICE, FixedDice(), unknown=False).again
    assert model.judge(no, 1, model.FOR_COMPENSATIONS, FixedDice(), unknown=False).again


def test_keys_are_stable_within_a_run_and_different_between_calls() -> None:
    assert model.step_key("e", "charge", 1) == "e/charge"
    keys = {
        model.call_key(model.step_key("e", "pack", run), phase, run, attempt)
        for run in (1, 2)
        for phase in ("forward", "compensate")
        for attempt in (1, 2, 11)
    }
    assert len(keys) == 12
    assert "e/pack/1" in keys
