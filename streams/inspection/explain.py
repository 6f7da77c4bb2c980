"""Why a session begins and ends where it does, from the events of its key. Pure."""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from streams.inspection.states import at
from streams.sessions.chains import SessionRules


class Event(NamedTuple):
    """One event of a key. session_id: the one it was given."""

    timestamp_ms: int
    name: str
    partition: int
    offset: int
    session_id: str


def explained(events: Sequence[Event], session_ids: Collection[str], rules: SessionRules) -> Iterator[str]:
    """Lines of text. session_ids: that of the session and of those it absorbed; `events` are all of the key."""
    own = sorted(event for event in events if event.session_id in session_ids)
    if not own:
        yield "none of its events is in enriched_events any more: they have passed the topic's retention"
        return
    others = sorted(event for event in events if event.session_id not in session_ids)
    first, last = own[0], own[-1]
    before = [event for event in others if event.timestamp_ms <= first.timestamp_ms]
    after = [event for event in others if event.timestamp_ms >= last.timestamp_ms]
    yield f"begins   {_event(first)}"
    yield f"  because {_begins(first, before[-1] if before else None, events, rules)}"
    yield f"ends     {_event(last)}"
    yield f"  because {_ends(own, after[0] if after else None, events, rules)}"
    yield f"{len(own)} events"
    yield from (f"  {_event(event)}" for event in own)


def _begins(first: Event, before: Event | None, events: Sequence[Event], rules: SessionRules) -> str:
    if is_late(first, events, rules):
        return _late(rules)
    if before is None:
        return "no earlier event of this key is in enriched_events"
    away = first.timestamp_ms - before.timestamp_ms
    if away > rules.gap_ms:
        return f"the event before it is {_span(away)} earlier, more than {_span(rules.gap_ms)}: {_event(before)}"
    if is_late(before, events, rules):
        return f"the event before it was late, and is in a session of its own: {_event(before)}"
    return f"the session before it, {before.session_id}, has its full length, {_longest(rules)}"


def _ends(own: Sequence[Event], after: Event | None, events: Sequence[Event], rules: SessionRules) -> str:
    last = own[-1]
    if after is None:
        until = at(last.timestamp_ms + rules.gap_ms)
        return f"no later event of this key is there yet; one until {until} would still belong to it"
    away = after.timestamp_ms - last.timestamp_ms
    if away > rules.gap_ms:
        return f"the event after it is {_span(away)} later, more than {_span(rules.gap_ms)}: {_event(after)}"
    if is_late(own[0], events, rules):
        return _late(rules)
    if is_late(after, events, rules):
        return f"the event after it was late, and is in a session of its own: {_event(after)}"
    return f"it has its full length, {_longest(rules)}; what comes after is {after.session_id}"


def is_late(event: Event, events: Sequence[Event], rules: SessionRules) -> bool:
    """Whether an event that arrived before it is newer by more than the bound."""
    limit = event.timestamp_ms + rules.lateness_ms
    return any(
        other.partition == event.partition and other.offset < event.offset and other.timestamp_ms > limit
        for other in events
    )


def _late(rules: SessionRules) -> str:
    return f"it came later than {_span(rules.lateness_ms)} behind the newest event of its key: late ones stay apart"


def _longest(rules: SessionRules) -> str:
    return f"{rules.cells_max} stretches of {_span(rules.gap_ms)}"


def _event(event: Event) -> str:
    return f"{at(event.timestamp_ms)} {event.name or '(no name)'} at raw_events/{event.partition}/{event.offset}"


def _span(ms: int) -> str:
    seconds = ms / 1000
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size or (unit != "days" and seconds >= size):
            return f"{seconds / size:.4g} {unit}"
    return f"{seconds:.3g} s"
