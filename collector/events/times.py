"""Client clocks: reading times, correcting skew, bounding the result. All times are ms since 1970 UTC."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from collector.events.time_forms import CHARS_MAX, gregorian_year, milliseconds_of_date, moment_of, plain

# An epoch number's unit follows from its size: what is smaller would, in the next smaller unit, lie before March 1973.
_SECONDS_BELOW: Final = 10**11
_MILLISECONDS_BELOW: Final = 10**14
_MICROSECONDS_BELOW: Final = 10**17
_NANOSECONDS_BELOW: Final = 10**20
_DIGITS_OF_DATES: Final = (len("20261125"), len("20261125155130"))
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_from_iso: Final = datetime.fromisoformat


class TimestampRule(StrEnum):
    """Why received_at stands in place of the client's time."""

    UNPARSABLE = "unparsable"
    TOO_OLD = "too_old"
    IN_FUTURE = "in_future"


def parse_time(sent: str | float) -> int | None:
    """ISO 8601 text (without an offset: UTC), an epoch number in s, ms, µs or ns, or a form of `time_forms`; else None.

    The zero time of Go and .NET, in year 1, and the number 0 say that there is none.
    """
    if not isinstance(sent, str):
        return _from_number(sent)
    if sent[4:5] != "-":  # before ISO 8601 is tried: in its compact form, an epoch number may be a year, month, day, …
        return _from_odd_text(sent)
    try:
        moment = _from_iso(sent)
    except ValueError:
        return _from_odd_text(sent)
    return _to_ms(moment) if 1900 <= moment.year < 2443 else _in_our_calendar(moment)


def _to_ms(moment: datetime) -> int:
    """Whole milliseconds; what is finer is cut off."""
    since = (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)) - _EPOCH
    return since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000


def _in_our_calendar(moment: datetime) -> int | None:
    if moment.year == 1:
        return None
    return _to_ms(moment.replace(year=gregorian_year(moment.year)))


def _from_number(number: float) -> int | None:
    if not 0 < number < _NANOSECONDS_BELOW:  # also turns away NaN
        return None
    if number < _SECONDS_BELOW:
        return int(number * 1000)
    if number < _MILLISECONDS_BELOW:
        return int(number)
    return int(number // 1000 if number < _MICROSECONDS_BELOW else number // 1_000_000)


def _from_odd_text(sent: str) -> int | None:
    if len(sent) > CHARS_MAX:
        return None
    text = plain(sent)
    number = text.replace(",", ".", 1)
    is_number = number.isascii() and number.replace(".", "", 1).isdigit()
    if (not is_number or len(number) in _DIGITS_OF_DATES) and (moment := moment_of(text)) is not None:
        return _in_our_calendar(moment)
    if is_number:
        return _from_number(float(number) if "." in number else int(number))
    if (milliseconds := milliseconds_of_date(text)) is not None:
        return _from_number(milliseconds)
    try:
        moment = _from_iso(text.upper())  # the compact forms, and those of weeks
    except ValueError:
        return None
    return _in_our_calendar(moment)


def corrected(original: int, sent_at: int, received_at: int, way_ms_max: int) -> int:
    """The client's time by our clock.

    Sent up to `way_ms_max` before it arrived, a request was on its way and its client's clock is right: the time
    stands. Counting the way as skew would put the events of a slow request behind those that the same device sent after
    them. Otherwise the clock is wrong: the event happened as long before received_at as, by that clock, before sent_at.
    """
    skew = received_at - sent_at
    return original if 0 <= skew <= way_ms_max else original + skew


class Bounds:
    """How far a client's time may lie from received_at."""

    __slots__ = ("future_ms_max", "past_ms_max")

    def __init__(self, past_s_max: int, future_s_max: int) -> None:
        self.past_ms_max = past_s_max * 1000
        self.future_ms_max = future_s_max * 1000

    def allow(self, timestamp: int, received_at: int) -> bool:
        """Whether the timestamp may stand."""
        return -self.future_ms_max <= received_at - timestamp <= self.past_ms_max

    def rule(self, timestamp: int, received_at: int) -> TimestampRule:
        """Why it may not."""
        return TimestampRule.TOO_OLD if timestamp < received_at else TimestampRule.IN_FUTURE
