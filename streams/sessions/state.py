"""What the session table holds for one Kafka key of raw_events: a visitor, or a client's session. Pure.

A value is 16 bytes, two big-endian integers (the highest source offset applied, the latest received_at in ms), then
MessagePack. The first lets a restore keep the larger of two values without decoding, the second lets eviction read a
million values without decoding one.

A *slice* is the aggregate of the events of one key in one *cell* of `gap_ms` (half an hour), aligned to 1970. Two
events of a cell always belong to one session, and the sessions of a visitor are the chains of slices no further apart
than the gap. Slices add up in any order, so sessions depend on the set of events alone and never on their order.

A *moment* is `timestamp_ms << 20 | 20 bits of the message id's hash`: one integer orders events by time, ties by id.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from streams.uuids import named_uuid

MOMENT_BITS: Final = 20
TIMESTAMP_BITS: Final = 63 - MOMENT_BITS  # of milliseconds: until the year 2248
LATE_CELLS: Final = 1 << 40  # late events are in the cell so many below their own, which is below 0: never with others
_PREFIX: Final = struct.Struct(">qq")
PREFIX_BYTES: Final = _PREFIX.size
SEEN_BYTES: Final = 12  # 8 of the id's hash, 4 of received_at in seconds


# The facts of a session, by the member of `Slice` that holds the moment of the first event which has them.
FACTS: Final[Mapping[str, tuple[str, ...]]] = {
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
# A client may send 30 KB of referrer in every half hour. A state that no longer fits into a record of 2 MiB would end
# the worker, and the next one, for ever.
_BODY_BYTES_MAX: Final = 2**20
_CLIPPED_CHARS: Final = 100


class Slice(msgspec.Struct, array_like=True, gc=False):
    """The events of one key in one cell. `*_at` are moments; 0 means none.

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
    # Bits of the facts that the slice has for certain (`streams.sessions.fold`): what is not here is looked at anew.
    had: int = 0

    def absorb(self, other: "Slice") -> None:
        """Add the events of `other`; the order of adding does not matter."""
        if other.first_at < self.first_at:
            self.first_at, self.channel_type = other.first_at, other.channel_type
        self.last_at = max(self.last_at, other.last_at)
        self.events += other.events
        self.pages += other.pages
        self.bots += other.bots
        if other.entry_at and (not self.entry_at or other.entry_at < self.entry_at):
            self.entry_at, self.entry_page = other.entry_at, other.entry_page
        if other.exit_at > self.exit_at:
            self.exit_at, self.exit_page = other.exit_at, other.exit_page
        if other.conversion_at and (not self.conversion_at or other.conversion_at < self.conversion_at):
            self.conversion_at, self.conversion_event = other.conversion_at, other.conversion_event
        for at, names in FACTS.items():
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


def new_slice(cell: int) -> Slice:
    """A slice without events."""
    return Slice(
        *(cell, _NEVER, 0, 0, 0, 0, "", 0, "", 0, "", 0, "", 0, None, 0, None),
        *(0, "", 0, None, None, None, 0, "", 0, ""),
    )


class _Body(msgspec.Struct, array_like=True, gc=False):
    newest_at: int
    seen: bytes
    slices: list[Slice]


class _SliceOfFirstTouches(msgspec.Struct, array_like=True, gc=False):
    """A slice of the first layout: seven facts of its first event, whether it had them or not.

    Its seventh member is an array where that of `Slice` is text, so neither is ever read as the other.
    """

    cell: int
    first_at: int
    last_at: int
    events: int
    pages: int
    bots: int
    first_touch: tuple[str, str | None, str | None, str | None, str, str, str]
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
    session_id: str = ""

    def now(self) -> Slice:
        """The same in the layout of today: what the first event had is dated by it."""
        piece = new_slice(self.cell)
        for name in _KEPT:
            setattr(piece, name, getattr(self, name))
        referrer, source, medium, campaign, piece.device_type, piece.country_code, piece.channel_type = self.first_touch
        piece.referrer, piece.utm_source, piece.utm_medium, piece.utm_campaign = referrer, source, medium, campaign
        at = self.first_at
        piece.referrer_at = at if referrer or self.entry_at == at else 0
        piece.campaign_at = at if source or medium or campaign else 0
        piece.device_at = at if piece.device_type else 0
        piece.country_at = at if piece.country_code else 0
        return piece


_KEPT: Final = tuple(name for name in _SliceOfFirstTouches.__struct_fields__ if name != "first_touch")


class _BodyOfFirstTouches(msgspec.Struct, array_like=True, gc=False):
    newest_at: int
    seen: bytes
    slices: list[_SliceOfFirstTouches]


class SessionState(msgspec.Struct, gc=False):
    """The decoded value of one key.

    applied: highest source offset folded in, -1 before the first; touched_ms: latest received_at; newest_at: moment of
    the latest event; seen: `SEEN_BYTES` for each remembered message id, oldest first; slices: by cell.
    `changed` holds the cells touched since the state was last durable, unless there is one slice only; `absorbed` the
    ids of sessions that ceased.
    """

    applied: int
    touched_ms: int
    newest_at: int
    seen: bytes
    slices: list[Slice]
    changed: set[int]
    absorbed: list[str]


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Body)
_decoder_of_first_touches: Final = msgspec.msgpack.Decoder(_BodyOfFirstTouches)


def new_state() -> SessionState:
    """The state of a key never seen before."""
    return SessionState(-1, 0, 0, b"", [], set(), [])


def encode_state(state: SessionState) -> bytes:
    """The table's value. It fits into a record of the changelog: texts are clipped when it otherwise would not."""
    body = _encoder.encode(_Body(state.newest_at, state.seen, state.slices))
    if len(body) > _BODY_BYTES_MAX:
        for piece in state.slices:
            piece.clip()
        body = _encoder.encode(_Body(state.newest_at, state.seen, state.slices))
    return _PREFIX.pack(state.applied, state.touched_ms) + body


def decode_state(value: bytes) -> SessionState:
    """The inverse of `encode_state`; reads what workers of the first layout wrote too. Raises msgspec.DecodeError."""
    applied, touched_ms = _PREFIX.unpack_from(value)
    packed = memoryview(value)[PREFIX_BYTES:]
    try:
        body = _decoder.decode(packed)
    except msgspec.ValidationError:
        old = _decoder_of_first_touches.decode(packed)
        body = _Body(old.newest_at, old.seen, [piece.now() for piece in old.slices])
    return SessionState(applied, touched_ms, body.newest_at, body.seen, body.slices, set(), [])


def applied_offset(value: bytes) -> int:
    """The highest source offset applied, of an encoded value."""
    applied: int = _PREFIX.unpack_from(value)[0]
    return applied


def touched(value: bytes) -> int:
    """The latest received_at (ms) of an encoded value."""
    touched_ms: int = _PREFIX.unpack_from(value)[1]
    return touched_ms


@dataclass(frozen=True, slots=True)
class SessionRules:
    """When a session ends, in ms. `cells_max` is the longest session in cells."""

    gap_ms: int
    lateness_ms: int
    cells_max: int


def chains(slices: list[Slice], rules: SessionRules) -> Iterator[list[Slice]]:
    """The sessions: runs of slices (sorted by cell) no further apart than the gap and no longer than the maximum."""
    start = 0
    for index in range(1, len(slices)):
        gap = (slices[index].first_at >> MOMENT_BITS) - (slices[index - 1].last_at >> MOMENT_BITS)
        if gap > rules.gap_ms or slices[index].cell - slices[start].cell >= rules.cells_max:
            yield slices[start:index]
            start = index
    if slices:
        yield slices[start:]


def session_id(key: str, cell: int) -> str:
    """UUIDv5 of the key (tenant/project/visitor) and the cell in which the session starts.

    The cell and not the exact start: an event that arrives out of order by seconds would otherwise rename the session.
    """
    return named_uuid(f"{key}/{cell}")
