"""From when to when: what people type, in the zone they live in."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from difflib import get_close_matches
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from sinks.query.errors import QuestionError

_SPAN: Final = re.compile(r"(\d{1,9})(s|m|h|d|w)")
_UNITS_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_SPAN_MS_MAX: Final = 10 * 366 * _UNITS_MS["d"]
# What a Date holds in every zone: days are named by it, and it begins anew after 2149-06-06.
_FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(2149, 1, 1, tzinfo=UTC)
# What ClickHouse does not know: files of this machine, of none, of leap seconds; and a zone of 2025.
_NO_ZONES: Final = ("right/", "posix/", "localtime", "posixrules", "Factory", "America/Coyhaique")


@dataclass(frozen=True, slots=True)
class Range:
    """From `begin`, up to but without `end`; both in UTC."""

    begin: datetime
    end: datetime


def zone(name: str) -> ZoneInfo:
    """The zone of that name. Raises QuestionError."""
    if name in zones():
        return ZoneInfo(name)
    cities = [known for known in sorted(zones()) if known.rpartition("/")[2].lower() == name.lower()]
    near = [*cities, *(close for close in get_close_matches(name, sorted(zones()), 3) if close not in cities)][:3]
    hint = f"; did you mean {' or '.join(near)}?" if near else ";"
    raise QuestionError("tz", f"no zone {name!r}{hint} A zone is named like Europe/Berlin, Asia/Kolkata or UTC")


@cache
def zones() -> frozenset[str]:
    """The zones that both Python and ClickHouse know."""
    return frozenset(name for name in available_timezones() if not name.startswith(_NO_ZONES))


def span_ms(option: str, text: str) -> int:
    """Milliseconds of `30m`, `6h`, `7d`, `2w`; a day is 24 hours. Raises QuestionError."""
    found = _SPAN.fullmatch(text)
    length = int(found[1]) * _UNITS_MS[found[2]] if found else 0
    if not 0 < length <= _SPAN_MS_MAX:
        raise QuestionError(option, f"{text!r} is not a length of time like 30m, 6h, 7d or 2w, of ten years at most")
    return length


def range_of(begin: str | None, end: str, local: ZoneInfo, now: datetime) -> Range:
    """The range between two texts: an ISO date or time, `6h` or `7d` ago, or `now`. Raises QuestionError.

    begin: None for the day before the end.

    A date is a day of that zone, of 23 or 25 hours too: as a beginning its first moment, as an end its last one.
    """
    until = _moment("to", end, local, now, whole_day=True)
    since = until - timedelta(days=1) if begin is None else _moment("from", begin, local, now, whole_day=False)
    if since >= until:
        raise QuestionError(
            "from", f"the range ends before it begins: {since.isoformat()} is not before {until.isoformat()}"
        )
    return Range(since, until)


def _moment(option: str, text: str, local: ZoneInfo, now: datetime, *, whole_day: bool) -> datetime:
    if text == "now":
        return _in_ms(now)
    if _SPAN.fullmatch(text):
        return _in_ms(now - timedelta(milliseconds=span_ms(option, text)))
    try:
        day = _date(text)
        if day is not None:
            day += timedelta(days=whole_day)
            # A midnight that the zone leaves out is, before the change, the moment of the change.
            moment = datetime.combine(day, time(), local)
        else:
            moment = datetime.fromisoformat(text)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=local)
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise QuestionError(
            option, f"{text!r} is not a date like 2026-11-30, a time like 2026-11-30T18:00, or 30m, 6h, 7d ago"
        ) from None
    if not _FIRST <= moment <= _LAST:
        raise QuestionError(option, f"{text!r} is not from {_FIRST.date()} up to {_LAST.date()}")
    return _in_ms(moment)


def _date(text: str) -> date | None:
    """A date however ISO 8601 writes it: 2026-11-30, 20261130, 2026-W49-1. None: it is none."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _in_ms(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
