"""What the session table holds for one Kafka key of raw_events: a visitor, or a client's session. Pure.

A value is the prefix of all states (`streams.runtime.operator`), with the latest received_at as the time, and then
MessagePack.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from streams.runtime.operator import PREFIX, PREFIX_BYTES
from streams.sessions.slices import Slice, new_slice

SEEN_BYTES: Final = 12  # 8 of the id's hash, 4 of received_at in seconds
# A client may send 30 KB of referrer in every half hour. A state that no longer fits into a record of 2 MiB would end
# the worker, and each that comes after it.
_BODY_BYTES_MAX: Final = 2**20


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

    applied: highest source offset folded in, -1 before the first; active_ms: latest received_at; newest_at: moment of
    the latest event; seen: `SEEN_BYTES` for each remembered message id, oldest first; slices: by cell.
    `changed` holds the cells touched since the state was last durable, unless there is one slice only; `absorbed` the
    ids of sessions that ceased.
    """

    applied: int
    active_ms: int
    newest_at: int
    seen: bytes
    slices: list[Slice]
    changed: set[int]
    absorbed: list[str]


StateOf = Callable[[int, bytes], SessionState]  # the state of a key of a partition, to be changed in place

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
    return PREFIX.pack(state.applied, state.active_ms) + body


def decode_state(value: bytes) -> SessionState:
    """The inverse of `encode_state`; reads what workers of the first layout wrote too. Raises msgspec.DecodeError."""
    applied, active_ms = PREFIX.unpack_from(value)
    packed = memoryview(value)[PREFIX_BYTES:]
    try:
        body = _decoder.decode(packed)
    except msgspec.ValidationError:
        old = _decoder_of_first_touches.decode(packed)
        body = _Body(old.newest_at, old.seen, [piece.now() for piece in old.slices])
    return SessionState(applied, active_ms, body.newest_at, body.seen, body.slices, set(), [])


class SessionStateCodec:
    """Session states as values of the table."""

    new = staticmethod(new_state)
    encode = staticmethod(encode_state)
    decode = staticmethod(decode_state)
