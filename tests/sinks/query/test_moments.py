"""From when to when: dates and times of a zone, and lengths of time."""

from datetime import UTC, datetime, timedelta

import pytest

from sinks.query.errors import QuestionError
from sinks.query.moments import range_of, span_ms, zone

NOW = datetime(2026, 12, 1, 10, 30, 15, 123_456, tzinfo=UTC)


def asked(begin: str, end: str, tz: str = "UTC") -> tuple[str, str]:
    """The range, in ISO."""
    found = range_of(begin, end, zone(tz), NOW)
    assert found.begin.tzinfo is found.end.tzinfo is UTC
    return found.begin.isoformat()[:-6], found.end.isoformat()[:-6]


@pytest.mark.parametrize(
    ("begin", "end", "tz", "expected"),
    [
        ("2026-11-01", "2026-11-30", "UTC", ("2026-11-01T00:00:00", "2026-12-01T00:00:00")),
        ("2026-11-01", "2026-11-01", "Asia/Kolkata", ("2026-10-31T18:30:00", "2026-11-01T18:30:00")),
        # Days of 25, 23, 24.5 and 23.5 hours.
        ("2026-10-25", "2026-10-25", "Europe/Berlin", ("2026-10-24T22:00:00", "2026-10-25T23:00:00")),
        ("2026-03-29", "2026-03-29", "Europe/Berlin", ("2026-03-28T23:00:00", "2026-03-29T22:00:00")),
        ("2026-04-05", "2026-04-05", "Australia/Lord_Howe", ("2026-04-04T13:00:00", "2026-04-05T13:30:00")),
        ("2026-10-04", "2026-10-04", "Australia/Lord_Howe", ("2026-10-03T13:30:00", "2026-10-04T13:00:00")),
        # A day without a midnight begins at one.
        ("2018-11-04", "2018-11-04", "America/Sao_Paulo", ("2018-11-04T03:00:00", "2018-11-05T02:00:00")),
        ("2026-11-01T10:00", "2026-11-01T11:00", "Asia/Kolkata", ("2026-11-01T04:30:00", "2026-11-01T05:30:00")),
        ("2026-11-01T10:00Z", "2026-11-01T10:00-01:00", "Asia/Kolkata", ("2026-11-01T10:00:00", "2026-11-01T11:00:00")),
        ("20261101", "20261130", "UTC", ("2026-11-01T00:00:00", "2026-12-01T00:00:00")),
        ("2026-W48-1", "2026-W48-1", "UTC", ("2026-11-23T00:00:00", "2026-11-24T00:00:00")),
        ("30m", "now", "Asia/Kolkata", ("2026-12-01T10:00:15.123000", "2026-12-01T10:30:15.123000")),
        ("2d", "6h", "UTC", ("2026-11-29T10:30:15.123000", "2026-12-01T04:30:15.123000")),
    ],
)  # fmt: skip
def test_a_range_is_what_the_zone_s_calendar_says(begin: str, end: str, tz: str, expected: tuple[str, str]) -> None:
    assert asked(begin, end, tz) == expected


def test_without_a_beginning_it_is_the_day_before_the_end() -> None:
    found = range_of(None, "now", zone("UTC"), NOW)
    assert found.end - found.begin == timedelta(days=1)


@pytest.mark.parametrize(
    ("begin", "end", "option"),
    [
        ("2026-11-02", "2026-11-01", "from"),
        ("now", "now", "from"),
        ("yesterday", "now", "from"),
        ("2026-02-30", "now", "from"),
        ("2026-11-01", "2026-11", "to"),
        ("9999-12-31", "now", "from"),
        ("0001-01-01", "now", "from"),
        ("2026-01-01", "9999-12-31", "to"),
        ("1969-12-31", "now", "from"),
        ("2026-01-01", "2149-01-01", "to"),
        ("2026-01-01", "2179-06-06T00:00Z", "to"),
        ("99999999d", "now", "from"),
        ("0d", "now", "from"),
        ("", "now", "from"),
    ],
)
def test_what_is_no_range_is_said_with_the_option(begin: str, end: str, option: str) -> None:
    with pytest.raises(QuestionError) as caught:
        asked(begin, end)
    assert caught.value.option == option


@pytest.mark.parametrize(
    "name",
    [
        "Mars/Olympus",
        "",
        "../etc/passwd",
        "/etc/localtime",
        "x\0y",
        "Europe",
        "GMT+25",
        "right/UTC",
        "posix/UTC",
        "localtime",
        "Factory",
        "utc",
    ],
)
def test_a_zone_that_is_not_there_is_said(name: str) -> None:
    with pytest.raises(QuestionError, match="Europe/Berlin, Asia/Kolkata or UTC"):
        zone(name)


@pytest.mark.parametrize(("name", "near"), [("Berlin", "Europe/Berlin"), ("Asia/Kalkutta", "Asia/Calcutta")])
def test_a_zone_that_is_meant_is_named(name: str, near: str) -> None:
    with pytest.raises(QuestionError, match=f"did you mean .*{near}"):
        zone(name)


def test_lengths_of_time() -> None:
    lengths = {"1s": 1_000, "30m": 1_800_000, "6h": 21_600_000, "7d": 604_800_000, "2w": 1_209_600_000}
    assert {text: span_ms("window", text) for text in lengths} == lengths
    for text in ("7", "d", "-1d", "1.5h", "7 d", "1y", "", "99999999w"):
        with pytest.raises(QuestionError, match="30m, 6h, 7d or 2w"):
            span_ms("window", text)
