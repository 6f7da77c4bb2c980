"""Client clocks."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.events.times import Bounds, TimestampRule, corrected, parse_time

NOW = 1_795_000_000_000


@pytest.mark.parametrize(
    ("sent", "ms"),
    [
        ("2026-11-24T13:15:14.123Z", 1_795_526_114_123),
        ("2026-11-24T13:15:14Z", 1_795_526_114_000),
        ("2026-11-24T14:15:14.123456+01:00", 1_795_526_114_123),
        ("2026-11-24T13:15:14.123456789Z", 1_795_526_114_123),
        ("2026-11-24 13:15:14", 1_795_526_114_000),
        ("2026-11-24t13:15:14z", 1_795_526_114_000),
        (" 2026-11-24T13:15:14Z ", 1_795_526_114_000),
        ("2026-11-24 13:15:14 UTC", 1_795_526_114_000),
        ("2026-11-24", 1_795_478_400_000),
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59Z", -1000),
        (1_795_526_114_123, 1_795_526_114_123),
        (1_795_526_114.5, 1_795_526_114_500),
        (1_795_526_114, 1_795_526_114_000),
        ("1795526114123", 1_795_526_114_123),
        ("1795526114.5", 1_795_526_114_500),
        ("1795526114,5", 1_795_526_114_500),
    ],
)
def test_time_is_read(sent: str | float, ms: int) -> None:
    assert parse_time(sent) == ms


@pytest.mark.parametrize(
    "sent",
    [
        *("", "yesterday", "24/11/2026", "11/24/2026 13:15:14", "Tue Nov 24 13:15:14 IST 2026", "2026-11-24[UTC]"),
        *("2026-13-01T00:00:00Z", "2026-11-24T25:00:00Z", "0000-00-00T00:00:00Z"),
        *("NaN", "-1", "1.2.3", "²", "1" * 400),
        *(-5, float("nan"), 1e30),
    ],
)
def test_what_is_no_time_is_none(sent: str | float) -> None:
    assert parse_time(sent) is None


moments = st.datetimes(datetime(1900, 1, 3), datetime(2442, 12, 29)).map(lambda m: m.replace(microsecond=0))
offsets = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(moments, st.integers(0, 999), offsets)
def test_any_iso_text_gives_its_own_millisecond(moment: datetime, ms: int, offset: timezone) -> None:
    local = moment.replace(microsecond=ms * 1000, tzinfo=offset)
    expected = (local - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert parse_time(local.isoformat()) == expected
    assert parse_time(local.isoformat(timespec="milliseconds")) == expected


@given(st.text(max_size=40) | st.floats() | st.integers())
def test_nothing_sent_as_a_time_raises(sent: str | float) -> None:
    parsed = parse_time(sent)
    assert parsed is None or isinstance(parsed, int)


@given(st.integers(0, 2**42), st.integers(-(10**10), 10**10), st.integers(0, 10**9))
def test_a_wrong_clock_changes_nothing_about_the_corrected_time(sent_at: int, skew: int, age: int) -> None:
    right = corrected(sent_at - age, sent_at, NOW, -1)
    wrong = corrected(sent_at - age + skew, sent_at + skew, NOW, -1)
    assert right == wrong == NOW - age


def test_bounds_are_inclusive() -> None:
    bounds = Bounds(past_s_max=10, future_s_max=5)
    assert bounds.allow(NOW - 10_000, NOW)
    assert bounds.allow(NOW + 5_000, NOW)
    assert not bounds.allow(NOW - 10_001, NOW)
    assert not bounds.allow(NOW + 5_001, NOW)
    assert bounds.rule(NOW - 10_001, NOW) is TimestampRule.TOO_OLD
    assert bounds.rule(NOW + 5_001, NOW) is TimestampRule.IN_FUTURE
