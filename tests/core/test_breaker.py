"""The breaker opens on failures in a row, probes with few, closes on success (C16, G10)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from backstay.core.breaker import CIRCUIT_OPEN, Breaker, BreakerSettings
from backstay.core.errors import Fault
from backstay.core.virtual import VirtualClock


class Bench:
    def __init__(self, settings=None):
        self.clock = VirtualClock()
        self.changes = []
        self.breaker = Breaker(
            "payments",
            self.clock,
            settings or BreakerSettings(),
            lambda target, was, to: self.changes.append((was, to)),
        )

    def fail(self, times=1):
        for _ in range(times):
            self.breaker.fail(self.breaker.admit(), "connection refused")

    def succeed(self, times=1):
        for _ in range(times):
            self.breaker.succeed(self.breaker.admit())

    def refused(self):
        with pytest.raises(Fault) as caught:
            self.breaker.admit()
        assert caught.value.entry is CIRCUIT_OPEN
        return caught.value


@pytest.fixture
def bench():
    return Bench()


def test_five_failures_in_a_row_open_it_and_a_success_starts_the_count_anew(bench):
    bench.fail(4)
    bench.succeed()
    bench.fail(4)
    assert bench.breaker.state == "closed"
    bench.fail()
    assert bench.breaker.state == "open"


def test_an_open_breaker_says_who_why_and_when(bench):
    bench.fail(5)
    bench.clock.advance_now(20)
    fault = bench.refused()
    assert fault.message == "circuit breaker is open"
    assert fault.entry.status == 503
    assert fault.values["retry_after"] == 40
    assert "payments failed 5 times in a row" in fault.cause
    assert "connection refused" in fault.cause
    assert bench.breaker.view().rejected == 1


def test_after_its_time_three_probes_pass_and_three_successes_close_it(bench):
    bench.fail(5)
    bench.clock.advance_now(59.9)
    bench.refused()
    bench.clock.advance_now(0.1)
    assert bench.breaker.state == "half-open"
    tickets = [bench.breaker.admit() for _ in range(3)]
    bench.refused()
    for ticket in tickets:
        bench.breaker.succeed(ticket)
    assert bench.breaker.state == "closed"
    assert bench.changes == [("closed", "open"), ("open", "half-open"), ("half-open", "closed")]


def test_one_failed_probe_opens_it_again_for_the_whole_time(bench):
    bench.fail(5)
    bench.clock.advance_now(60)
    bench.succeed(2)
    bench.fail()
    assert bench.breaker.state == "open"
    bench.clock.advance_now(59)
    bench.refused()
    bench.clock.advance_now(1)
    assert bench.breaker.state == "half-open"


def test_an_abandoned_probe_frees_its_place(bench):
    bench.fail(5)
    bench.clock.advance_now(60)
    tickets = [bench.breaker.admit() for _ in range(3)]
    bench.breaker.abandon(tickets[0])
    bench.breaker.admit()
    bench.refused()


def test_outcomes_of_calls_from_before_a_change_do_not_count(bench):
    slow = [bench.breaker.admit() for _ in range(3)]
    bench.fail(5)
    bench.clock.advance_now(60)
    assert bench.breaker.state == "half-open"
    for ticket in slow:
        bench.breaker.succeed(ticket)
        bench.breaker.fail(ticket, "late")
    assert bench.breaker.state == "half-open"


def test_a_person_can_close_it_at_once(bench):
    bench.fail(5)
    bench.breaker.reset()
    assert bench.breaker.state == "closed"
    bench.fail(4)
    assert bench.breaker.state == "closed"


def test_a_jump_of_the_wall_clock_does_not_open_or_close_it(bench):
    bench.fail(5)
    bench.clock.jump(3600)
    assert bench.breaker.state == "open"
    bench.refused()


def test_each_change_is_one_log_line_with_from_and_to(bench):
    with capture_logs() as lines:
        bench.fail(5)
    assert [(line["event"], line["from"], line["to"]) for line in lines] == [
        ("circuit breaker state changed", "closed", "open")
    ]
    assert list(lines[0])[:2] == ["from", "to"]


def test_the_view_tells_when_it_opened_and_when_it_is_probed(bench):
    assert bench.breaker.view().opened_at == ""
    bench.fail(5)
    view = bench.breaker.view()
    assert (view.opened_at, view.next_probe_at) == (
        "2025-06-15T15:06:40.000000Z",
        "2025-06-15T15:07:40.000000Z",
    )
    assert view.plain()["state"] == "open"


@given(st.lists(st.sampled_from(["admit", "succeed", "fail", "abandon", "wait", "reset"])))
def test_it_never_stays_open_while_its_target_is_well(steps):
    bench = Bench(BreakerSettings(failure_threshold=2, open_seconds=10, half_open_requests=2))
    tickets = []
    for step in steps:
        if step == "admit":
            try:
                tickets.append(bench.breaker.admit())
            except Fault:
                bench.clock.advance_now(1)
        elif step == "wait":
            bench.clock.advance_now(7)
        elif step == "reset":
            bench.breaker.reset()
        elif tickets:
            ticket = tickets.pop()
            if step == "fail":
                bench.breaker.fail(ticket, "x")
            else:
                getattr(bench.breaker, step)(ticket)
    for ticket in tickets:
        bench.breaker.abandon(ticket)
    bench.clock.advance_now(10)
    for _ in range(2):
        bench.breaker.succeed(bench.breaker.admit())
    assert bench.breaker.state == "closed"
