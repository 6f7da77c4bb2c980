"""Hours, days, weeks and months are those of the zone, also where a day has 23, 23.5, 24.5 or 25 hours."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

import pytest
from clickhouse_driver import Client

from schemas.settings import Settings
from tests.sinks.query.stories import Story

HALF_HOURS = 8 * 48
# A week around each change of the clock; Kolkata and Kathmandu have none.
CHANGES = {
    "Europe/Berlin": (date(2026, 3, 29), date(2026, 10, 25)),
    "Australia/Lord_Howe": (date(2026, 4, 5), date(2026, 10, 4)),
    "Asia/Kolkata": (date(2026, 3, 1),),
    "Asia/Kathmandu": (date(2026, 3, 1),),
    "America/Sao_Paulo": (date(2018, 11, 4),),  # midnight is left out
    "Africa/Cairo": (date(2026, 10, 30),),  # the hour before midnight comes twice
}
CASES = [(zone, day) for zone, days in CHANGES.items() for day in days]


@pytest.fixture(scope="module")
def steady(story_tables: tuple[Client, Settings]) -> Story:
    """An event at each half hour of the weeks around the changes."""
    story = Story(*story_tables)
    days = {day for _, day in CASES}
    moments = {
        datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=-4, minutes=30 * number)
        for day in days
        for number in range(HALF_HOURS)
    }
    for moment in sorted(moments):
        story.event(f"at {moment}", "A", moment, event_id=f"018f0000-0000-7000-8000-{int(moment.timestamp()):012d}")
    return story


def half_hours(zone: ZoneInfo, first: date, last: date) -> list[datetime]:
    """The moments of a range of days, in the zone, by Python's own reading of it."""
    begin = datetime(first.year, first.month, first.day, tzinfo=zone).astimezone(UTC)
    end = datetime(last.year, last.month, last.day, tzinfo=zone) + timedelta(days=1)
    step = timedelta(minutes=30)
    # Kathmandu's midnight lies in the middle between two.
    start = begin + (-(begin - datetime(1970, 1, 1, tzinfo=UTC)) % step)
    stop = end.replace(fold=0).astimezone(UTC)
    moments = takewhile(lambda moment: moment < stop, (start + step * number for number in range(HALF_HOURS)))
    return [moment.astimezone(zone) for moment in moments]


@pytest.mark.parametrize(("name", "day"), CASES)
def test_days_and_hours_are_the_zone_s(steady: Story, name: str, day: date) -> None:
    first, last = day - timedelta(days=2), day + timedelta(days=1)
    there = half_hours(ZoneInfo(name), first, last)
    options = {"tz": name, "begin": str(first), "end": str(last)}
    days = Counter(moment.strftime("%Y-%m-%d") for moment in there)
    assert steady.ask("trends", "period", "events", every="day", **options) == list(days.items())
    hours = Counter(moment.strftime("%Y-%m-%d %H:00 %z") for moment in there)
    assert steady.ask("trends", "period", "events", every="hour", **options) == list(hours.items())


def test_a_day_of_25_hours_has_50_half_hours_and_one_of_24_and_a_half_has_49(steady: Story) -> None:
    """What the tables above would not say if Python and ClickHouse were wrong alike."""
    lengths = {
        ("Europe/Berlin", "2026-03-29"): 46,
        ("Europe/Berlin", "2026-10-25"): 50,
        ("Australia/Lord_Howe", "2026-04-05"): 49,
        ("Australia/Lord_Howe", "2026-10-04"): 47,
        ("Asia/Kolkata", "2026-03-01"): 48,
        ("America/Sao_Paulo", "2018-11-04"): 46,
    }
    for (zone, day), events in lengths.items():
        assert steady.ask("trends", "period", "events", tz=zone, begin=day, end=day) == [(day, events)], zone
    hours = dict(
        steady.ask("trends", "period", "events", every="hour", tz="Europe/Berlin", begin="2026-10-25", end="2026-10-25")
    )
    assert len(hours) == 25
    assert hours["2026-10-25 02:00 +0200"] == hours["2026-10-25 02:00 +0100"] == 2


def test_weeks_begin_on_monday_and_months_on_their_first_in_the_zone(steady: Story) -> None:
    options = {"tz": "Asia/Kolkata", "begin": "2026-02-27", "end": "2026-03-03"}
    asked = ("trends", "period", "events")
    # Monday is the second of March.
    assert steady.ask(*asked, every="week", **options) == [("2026-02-23", 3 * 48), ("2026-03-02", 2 * 48)]
    assert steady.ask(*asked, every="month", **options) == [("2026-02-01", 2 * 48), ("2026-03-01", 3 * 48)]


def test_periods_without_events_have_a_row_and_those_cut_by_the_range_too(story: Story) -> None:
    story.event("one", "A", datetime(2026, 3, 2, 10, 59, 59, 999_000, tzinfo=UTC))
    story.event("one", "A", datetime(2026, 3, 2, 13, tzinfo=UTC))
    rows = story.ask(
        "trends", "period", "events", every="hour", begin="2026-03-02T10:59:59.999", end="2026-03-02T13:00:00.001"
    )
    assert rows == [
        ("2026-03-02 10:00 +0000", 1),
        ("2026-03-02 11:00 +0000", 0),
        ("2026-03-02 12:00 +0000", 0),
        ("2026-03-02 13:00 +0000", 1),
    ]


def test_values_beyond_the_first_are_others_and_people_of_several_are_one(story: Story) -> None:
    at = datetime(2026, 3, 2, 10, tzinfo=UTC)
    for country, visitors in {"DE": ("a", "b", "c"), "FR": ("a", "a"), "IN": ("d",), "": ("d",)}.items():
        for visitor in visitors:
            story.event(visitor, "A", at, country_code=country)
    rows = story.ask("trends", "value", "events", "people", by="country", top="2", begin="2026-03-02", end="2026-03-02")
    assert rows == [("DE", 3, 3), ("FR", 2, 1), ("(other)", 2, 1)]
