"""Backoff, token buckets and durations: the arithmetic everything else leans on."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backstay.core.backoff import Backoff
from backstay.core.clock import SystemDice
from backstay.core.duration import format_duration, parse_duration
from backstay.core.limits import TokenBucket
from backstay.core.virtual import FixedDice, VirtualClock

TOP, MIDDLE = FixedDice(1.0), FixedDice(0.5)


@pytest.mark.parametrize(
    ("policy", "delays"),
    [
        ("fixed", [5, 5, 5, 5]),
        ("linear", [5, 10, 15, 20]),
        ("exponential", [5, 10, 20, 40]),
        ("exp_equal_jitter", [3.75, 7.5, 15, 30]),
        ("exp_full_jitter", [2.5, 5, 10, 20]),
    ],
)
def test_each_backoff_policy_grows_as_named(policy, delays):
    backoff = Backoff(policy)
    assert [backoff.delay(attempt, MIDDLE) for attempt in (1, 2, 3, 4)] == delays


@given(
    st.sampled_from(["fixed", "linear", "exponential", "exp_equal_jitter", "exp_full_jitter"]),
    st.integers(-5, 10_000),
    st.floats(0, 1000),
    st.floats(0, 5000),
    st.integers(),
)
def test_no_delay_is_negative_or_over_the_cap(policy, attempt, base, cap, seed):
    delay = Backoff(policy, base, cap).delay(attempt, SystemDice(seed))
    assert 0 <= delay <= cap


def test_full_jitter_uses_the_whole_interval():
    backoff = Backoff("exp_full_jitter", base=1, cap=100)
    assert backoff.delay(4, FixedDice(0.0)) == 0
    assert backoff.delay(4, TOP) == 8
    assert backoff.delay(40, TOP) == 100


def test_a_bucket_admits_its_burst_then_its_rate():
    clock = VirtualClock()
    bucket = TokenBucket(clock, rate=2, burst=3)
    assert [bucket.take() for _ in range(3)] == [0, 0, 0]
    assert bucket.take() == 0.5
    clock.advance_now(0.5)
    assert bucket.take() == 0
    clock.advance_now(100)
    assert bucket.remaining() == 3


def test_a_refused_take_costs_nothing_and_its_wait_is_enough():
    clock = VirtualClock()
    bucket = TokenBucket(clock, rate=0.5, burst=2)
    bucket.take(2)
    wait = bucket.take(1.5)
    bucket.take(1.5)
    clock.advance_now(wait)
    assert bucket.take(1.5) == 0


def test_a_wall_clock_jump_gives_no_tokens():
    clock = VirtualClock()
    bucket = TokenBucket(clock, rate=1, burst=1)
    bucket.take()
    clock.jump(3600)
    assert bucket.take() > 0


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (1, 0), (-1, 1)])
def test_a_bucket_that_admits_nothing_is_a_mistake(rate, burst):
    with pytest.raises(ValueError, match="above 0"):
        TokenBucket(VirtualClock(), rate, burst)


def test_more_than_the_burst_can_never_pass():
    with pytest.raises(ValueError, match="burst of 2"):
        TokenBucket(VirtualClock(), 1, 2).take(3)


@given(
    st.floats(0.1, 100),
    st.floats(1, 50),
    st.lists(st.floats(0, 10), max_size=60),
)
def test_never_more_is_admitted_than_burst_plus_rate_times_time(rate, burst, waits):
    clock = VirtualClock()
    bucket = TokenBucket(clock, rate, burst)
    admitted = 0
    for wait in waits:
        clock.advance_now(wait)
        while bucket.take() == 0:
            admitted += 1
    assert admitted <= burst + rate * sum(waits) + 1e-6


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("0s", 0),
        ("300ms", 0.3),
        ("1.5ms", 0.0015),
        ("10s", 10),
        ("1m30s", 90),
        ("24h5m30s", 86730),
        ("2d", 172800),
        ("-1m", -60),
        ("100us", 0.0001),
        ("1h0.5s", 3600.5),
    ],
)
def test_durations_are_read_as_go_writes_them(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "s", "1x", "1m 30s", "1.s", "--1s", "1e3s", "٣s"])
def test_what_is_no_duration_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="1m30s"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0015, "1.5ms"),
        (0.3, "300ms"),
        (1, "1s"),
        (90, "1m30s"),
        (3600, "1h0m0s"),
        (86730, "24h5m30s"),
        (-1.5, "-1.5s"),
        (0.000002, "2µs"),
        (0.000001, "1µs"),
    ],
)
def test_durations_are_written_as_go_writes_them(seconds, text):
    assert format_duration(seconds) == text


@given(st.integers(-(10**9), 10**9))
def test_a_duration_in_milliseconds_survives_writing_and_reading(millis):
    assert parse_duration(format_duration(millis / 1000)) == pytest.approx(millis / 1000)


@given(st.floats(-1e9, 1e9, allow_nan=False))
@example(119.9999999)
@example(0.99999999999)
@example(0.0009999999999)
def test_every_written_duration_can_be_read_and_shows_no_sixty_seconds(seconds):
    text = format_duration(seconds)
    assert "60s" not in text
    assert "1000" not in text.rpartition("h")[2].partition(".")[0]
    assert parse_duration(text) == pytest.approx(seconds, rel=1e-3, abs=1e-3)
