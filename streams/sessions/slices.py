"""The events of one key in one half-hour. Pure.

A *slice* is the aggregate of the events of one key in one *cell* of `gap_ms` (half an hour), aligned to 1970. Two
events of a cell always belong to one session, and the sessions of a visitor are the chains of slices (`chains`) no
further apart than the gap. Slices add up in any order, so sessions depend on the set of events alone and never on
their order. A session whose start no event can move any more is one slice, of all its cells.

A *moment* is `timestamp_ms << 20 | 20 bits of the message id's hash`: one integer orders events by time, ties by id.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

MOMENT_BITS: Final = 20
TIMESTAMP_BITS: Final = 63 - MOMENT_BITS  # of milliseconds: until the year 2248
LATE_CELLS: Final = 1 << 40  # a late event of round n is in the cell n times so many below its own, never with others

# The facts of a session, by the member of `Slice` that holds the moment of the first event which has them.
_FACTS: Final[Mapping[str, tuple[str, ...]]] = {
    "referrer_at": ("referrer",),
    "campaign_at": ("utm_source", "utm_medium", "utm_campaign"),
    "device_at": ("device_type",),
    "country_at": ("country_code",),
}
_CLIENT_TEXTS: Final = (
    "anonymous_id", "entry_page", "exit_page", "conversion_event", "user_id", "referrer", "utm_source", "utm_medium",
    "utm_campaign",
)  # fmt: skip
_NEVER: Final = 2**63 - 1
_CLIPPED_CHARS: Final = 100


class Slice(msgspec.Struct, array_like=True, gc=False, forbid_unknown_fields=True):
    """The events of one key in one cell. `*_at` are moments; 0 means none.

    States hold it: another field, or another order, is another version of their layout (`streams.sessions.layouts`).

    Each fact is that of the first event which has it, with the moment of that event: a server's or an app's event that
    comes before the page knows neither referrer nor device. The three utm fields are of one event.
    """

    cell: int
    first_at: int
    last_at: int
    events: int
    pages: int
    bots: int
    channel_type: str
    anonymous_at: int
    anonymous_id: str
    entry_at: int
    entry_page: str
    exit_at: int
    exit_page: str
    conversion_at: int
    conversion_event: str | None
    user_at: int
    user_id: str | None
    referrer_at: int
    referrer: str
    campaign_at: int
    utm_source: str | None
    utm_medium: str | None
    utm_campaign: str | None
    device_at: int
    device_type: str
    country_at: int
    country_code: str
    session_id: str = ""  # set on a slice that starts a session whose row was emitted
    # Bits of the facts that the slice has for certain (`streams.sessions.groups`): what is not here is looked at anew.
    had: int = 0
    ceased_id: str = ""  # the session that once began with this slice and was absorbed by another

    def absorb(self, other: "Slice") -> None:
        """Add the events of `other`; the order of adding does not matter."""
        if other.first_at < self.first_at:
            self.first_at, self.channel_type = other.first_at, other.channel_type
        self.last_at = max(self.last_at, other.last_at)
        self.events += other.events
        self.pages += other.pages
        self.bots += other.bots
        self.had |= other.had
        if other.entry_at and (not self.entry_at or other.entry_at < self.entry_at):
            self.entry_at, self.entry_page = other.entry_at, other.entry_page
        if other.exit_at > self.exit_at:
            self.exit_at, self.exit_page = other.exit_at, other.exit_page
        if other.conversion_at and (not self.conversion_at or other.conversion_at < self.conversion_at):
            self.conversion_at, self.conversion_event = other.conversion_at, other.conversion_event
        for at, names in _FACTS.items():
            theirs, ours = getattr(other, at), getattr(self, at)
            if theirs and (not ours or theirs < ours):
                for name in (at, *names):
                    setattr(self, name, getattr(other, name))
        if other.user_at > self.user_at:
            self.user_at, self.user_id = other.user_at, other.user_id
        if other.anonymous_at and (not self.anonymous_at or other.anonymous_at < self.anonymous_at):
            self.anonymous_at, self.anonymous_id = other.anonymous_at, other.anonymous_id

    def clip(self) -> None:
        """Shorten every text that a client chose."""
        for name in _CLIENT_TEXTS:
            text = getattr(self, name)
            setattr(self, name, text and text[:_CLIPPED_CHARS])


def round_of(cell: int) -> int:
    """The round of late events that a cell is of, -1 when it is of no late events."""
    return -(cell // LATE_CELLS) - 1


def new_slice(cell: int) -> Slice:
    """A slice without events."""
    return Slice(
        *(cell, _NEVER, 0, 0, 0, 0, "", 0, "", 0, "", 0, "", 0, None, 0, None),
        *(0, "", 0, None, None, None, 0, "", 0, ""),
    )
