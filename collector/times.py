"""Client clocks: reading times, correcting skew, bounding the result. All times are ms since 1970 UTC."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

_SECONDS_BELOW: Final = 100_000_000_000  # smaller numbers are seconds: as milliseconds they would lie before March 1973
_TIME_MAX: Final = 253_402_300_799_999  # the end of the year 9999
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CHARS_MAX: Final = 64
_from_iso: Final = datetime.fromisoformat


class TimestampRule(StrEnum):
    """Why received_at stands in place of the client's time."""

    UNPARSABLE = "unparsable"
    TOO_OLD = "too_old"
    IN_FUTURE = "in_future"


def parse_time(sent: str | float) -> int | None:
    """ISO 8601 text (without an offset: UTC) or an epoch number in ms or s; None when it is neither."""
    if not isinstance(sent, str):
        return _from_number(sent)
    if sent[4:5] != "-":  # before ISO 8601 is tried: in its compact form, an epoch number may be a year, month, day, …
        return _from_odd_text(sent)
    try:
        moment = _from_iso(sent)
    except ValueError:
        return _from_odd_text(sent)
    return _to_ms(moment)


def _to_ms(moment: datetime) -> int:
    """Whole milliseconds; what is finer is cut off."""
    since = (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)) - _EPOCH
    return since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000


def _from_number(number: float) -> int | None:
    if not 0 <= number <= _TIME_MAX:  # also turns away NaN
        return None
    return int(number * 1000 if number < _SECONDS_BELOW else number)


def _from_odd_text(sent: str) -> int | None:
    text = sent.strip()
    if len(text) > _CHARS_MAX:
        return None
    if text.isascii() and text.replace(".", "", 1).isdigit():
        return _from_number(float(text))
    if (as_usual := text.upper().replace(" UTC", "Z").replace(" GMT", "Z")) != sent and as_usual[4:5] == "-":
        return parse_time(as_usual)
    try:
        moment = _from_iso(as_usual)
    except ValueError:
        return None
    return _to_ms(moment)


def corrected(original: int, sent_at: int, received_at: int) -> int:
    """As long before received_at as it was, by the client's clock, before sent_at."""
    return received_at - (sent_at - original)


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
