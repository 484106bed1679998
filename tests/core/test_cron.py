"""Fire times against a walk over every minute, around the days when clocks are changed."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from backstay.core.cron import Cron, CronError

CHANGES = (
    ("Europe/Berlin", "2026-03-28"),
    ("Europe/Berlin", "2026-10-24"),
    ("America/New_York", "2026-03-07"),
    ("America/New_York", "2026-10-31"),
    ("Africa/Cairo", "2026-04-23"),
    ("Africa/Cairo", "2026-10-29"),
    ("America/Sao_Paulo", "2017-10-14"),
    ("America/Sao_Paulo", "2018-02-17"),
)
"""Clocks go on and back; in Cairo and São Paulo it is midnight that is missing or comes twice."""

SCHEDULES = (
    "*/15 * * * *",
    "0 * * * *",
    "30 2 * * *",
    "0 0 * * *",
    "0,30 1-3 * * *",
    "*/10 2 * * *",
    "15 */2 * * *",
    "45 0 * * SUN",
)


def epoch(text: str, zone: str = "UTC", fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def walked(text: str, zone: str, low: float, high: float) -> list[float]:
    """The rule in the module's docstring, minute by minute."""
    minute, hour = text.split()[:2]
    follows_time = minute.startswith("*") or hour.startswith("*")
    walk = _real_minutes if follows_time else _local_minutes
    sim = CronSim(text, datetime(2020, 1, 1, tzinfo=UTC))
    found = set()
    for local, fire in walk(ZoneInfo(zone), low, high):
        named = local.minute in sim.minutes and local.hour in sim.hours
        if named and sim.match_day(local.date()) and low < fire < high:
            found.add(fire)
    return sorted(found)


def _real_minutes(zone, low, high):
    for number in range(int(high - low) // 60):
        moment = low + number * 60
        yield datetime.fromtimestamp(moment, UTC).astimezone(zone), moment


def _local_minutes(zone, low, high):
    local = datetime.fromtimestamp(low, UTC).astimezone(zone).replace(tzinfo=None)
    for _ in range(int(high - low) // 60 + 120):
        there = local
        while (
            there.replace(tzinfo=zone).astimezone(UTC).astimezone(zone).replace(tzinfo=None)
            != there
        ):
            there += timedelta(minutes=1)
        yield local, there.replace(tzinfo=zone).timestamp()
        local += timedelta(minutes=1)


@pytest.mark.parametrize(("zone", "day"), CHANGES)
@pytest.mark.parametrize("text", SCHEDULES)
def test_every_fire_of_a_day_on_which_clocks_change_and_no_other(text: str, zone: str, day: str):
    low = epoch(day, zone)
    high = low + 60 * 3600
    cron = Cron(text, zone)
    found = []
    moment = cron.after(low)
    while moment < high:
        found.append(moment)
        moment = cron.after(moment)
    assert found == walked(text, zone, low, high)


@settings(deadline=None)
@given(st.sampled_from(CHANGES), st.sampled_from(SCHEDULES), st.floats(0, 1.0))
def test_from_any_moment_the_next_fire_is_later_and_the_latest_is_the_one_before(
    change: tuple[str, str], text: str, share: float
):
    zone, day = change
    cron = Cron(text, zone)
    start = epoch(day, zone)
    moment = start + share * 48 * 3600
    fire = cron.after(moment)
    assert fire > moment
    first = cron.after(start - 8 * 86_400)
    latest = cron.latest(first, moment)
    assert latest <= moment
    assert cron.after(latest) == fire
    assert cron.last(moment) == latest


def test_a_fixed_time_in_the_spring_gap_fires_right_after_it():
    cron = Cron("30 2 * * *", "Europe/Berlin")
    fire = cron.after(epoch("2026-03-28T12:00", "Europe/Berlin"))
    assert fire == epoch("2026-03-29T03:00", "Europe/Berlin")
    assert cron.after(fire) == epoch("2026-03-30T02:30", "Europe/Berlin")


def test_a_fixed_time_in_the_double_hour_of_autumn_fires_once_the_first_time():
    cron = Cron("30 2 * * *", "Europe/Berlin")
    fire = cron.after(epoch("2026-10-24T12:00", "Europe/Berlin"))
    assert fire == epoch("2026-10-25T02:30", "Europe/Berlin", fold=0)
    within = epoch("2026-10-25T02:10", "Europe/Berlin", fold=1)
    for moment in (fire, within):
        assert cron.after(moment) == epoch("2026-10-26T02:30", "Europe/Berlin")


def test_an_hourly_schedule_fires_in_both_double_hours():
    cron = Cron("0 * * * *", "Europe/Berlin")
    first = cron.after(epoch("2026-10-25T01:30", "Europe/Berlin"))
    assert (first, cron.after(first)) == (
        epoch("2026-10-25T02:00", "Europe/Berlin", fold=0),
        epoch("2026-10-25T02:00", "Europe/Berlin", fold=1),
    )


def test_the_latest_of_a_year_of_minutes_is_searched_for_not_walked_to():
    cron = Cron("* * * * *")
    asked = 0
    plain = cron.after

    def counting(moment: float) -> float:
        nonlocal asked
        asked += 1
        return plain(moment)

    cron.after = counting  # type: ignore[method-assign]
    now = epoch("2026-06-01T12:00:30")
    assert cron.latest(epoch("2025-06-01T12:00"), now) == epoch("2026-06-01T12:00")
    assert asked < 40


def test_the_last_one_may_be_years_ago_or_this_very_moment():
    leap = Cron("0 0 29 2 *")
    assert leap.last(epoch("2027-12-01T00:00")) == epoch("2024-02-29T00:00")
    assert leap.last(epoch("2024-02-29T00:00")) == epoch("2024-02-29T00:00")
    assert leap.last(epoch("2024-02-28T23:59:59")) == epoch("2020-02-29T00:00")
    with pytest.raises(CronError, match="never"):
        leap.last(epoch("1971-01-01T00:00"))


@pytest.mark.parametrize(
    ("text", "zone", "part", "word"),
    [
        ("* * * *", "UTC", "cron", "4 fields"),
        ("* * * * * *", "UTC", "cron", "6 fields"),
        ("", "UTC", "cron", "0 fields"),
        ("61 * * * *", "UTC", "cron", "minute"),
        ("* 24 * * *", "UTC", "cron", "hour"),
        ("0 0 30 2 *", "UTC", "cron", "day"),
        ("* * * * FUNDAY", "UTC", "cron", "day-of-week"),
        ("* * * * *", "Europe/Berlni", "timezone", "Europe/Berlin"),
        ("* * * * *", "", "timezone", "no time zone"),
        ("* * * * *", "../etc/passwd", "timezone", "no time zone"),
    ],
)
def test_what_is_wrong_is_named_with_its_part(text: str, zone: str, part: str, word: str):
    with pytest.raises(CronError, match=word) as caught:
        Cron(text, zone)
    assert caught.value.part == part


def test_nicknames():
    assert Cron("@daily").after(epoch("2026-01-01T12:00")) == epoch("2026-01-02T00:00")
    assert Cron("@Hourly").after(epoch("2026-01-01T12:00")) == epoch("2026-01-01T13:00")
