"""When an event happened: the client's time by our clock, within bounds, and what has to be said about it. Pure."""

from typing import Final

from collector.events.event import Event
from collector.events.parse import NOTED_CHARS_MAX, Batch
from collector.events.times import Bounds, TimestampRule, corrected, parse_time

NO_NOTES: Final[dict[str, object]] = {}


def timestamp_of(
    event: Event, batch: Batch, received_at: int, bounds: Bounds, way_ms_max: int
) -> tuple[int, dict[str, object]]:
    """(ms, notes): the client's time by our clock, or received_at and the rule by which.

    Notes hold, as sent, every time that cannot be read or does not stand.
    """
    original = event.timestamp
    if original is None:
        original = event.original_timestamp
        if original is None:
            return received_at, NO_NOTES
    timestamp = parse_time(original)
    if timestamp is None:
        return received_at, {"timestamp_rule": TimestampRule.UNPARSABLE, "timestamp": _noted(original)}
    sent_at, unread = batch.sent_at, batch.unread_sent_at
    if event.sent_at is not None:
        sent_at = parse_time(event.sent_at)
        unread = "" if sent_at is not None else str(event.sent_at)[:NOTED_CHARS_MAX]
    if sent_at is not None:
        timestamp = corrected(timestamp, sent_at, received_at, way_ms_max)
    notes: dict[str, object] = {"sent_at": unread} if unread else NO_NOTES
    if bounds.allow(timestamp, received_at):
        return timestamp, notes
    rule = bounds.rule(timestamp, received_at)
    return received_at, notes | {"timestamp_rule": rule, "timestamp": _noted(original)}


def _noted(sent: str | float) -> str | float:
    return sent[:NOTED_CHARS_MAX] if isinstance(sent, str) else sent
