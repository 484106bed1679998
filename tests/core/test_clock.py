"""Ids are ordered and unique whatever the clock does; times are written one way."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstay.core.clock import Uuid7, parse_rfc3339, rfc3339
from backstay.core.virtual import VirtualClock


def test_ids_grow_inside_a_millisecond_and_when_the_clock_goes_back() -> None:
    clock = VirtualClock()
    ids = Uuid7(clock)
    made = [ids.new() for _ in range(5000)]
    clock.jump(-3600.0)
    made += [ids.new() for _ in range(100)]
    clock.jump(7200.0)
    made += [ids.new() for _ in range(100)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_an_id_is_a_uuid_of_version_7_that_holds_the_time() -> None:
    clock = VirtualClock(now=1_750_000_000.5)
    text = Uuid7(clock).new()
    assert (text[14], text[19] in "89ab", len(text)) == ("7", True, 36)
    assert int(text.replace("-", "")[:12], 16) == 1_750_000_000_500


def test_times_are_written_in_utc_with_microseconds() -> None:
    assert rfc3339(1_750_000_000.25) == "2025-06-15T15:06:40.250000Z"
    assert parse_rfc3339("2025-06-15T17:06:40.25+02:00") == 1_750_000_000.25


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        parse_rfc3339("2025-06-15T15:06:40")


@given(st.floats(-6e10, 2.5e11))
def test_a_time_is_written_as_datetime_rounds_it(epoch):
    expected = datetime.fromtimestamp(epoch, UTC).strftime("%H:%M:%S.%fZ")
    assert rfc3339(epoch).endswith(expected)


@pytest.mark.parametrize("epoch", [0.9999996, -0.0000004, 1.5e-6, 2.5e-6, -1.25, 1e9 + 0.1])
def test_a_time_at_the_edge_of_a_second_is_written_as_datetime_rounds_it(epoch):
    text = datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert rfc3339(epoch) == text
