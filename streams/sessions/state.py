"""What the session table holds for one Kafka key of raw_events: a visitor, or a client's session. Pure.

A value is the envelope of all states (`streams.runtime.envelope`), with the latest received_at as the time, and then
MessagePack in one of the layouts of `streams.sessions.layouts`.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from streams.runtime.envelope import Bodies
from streams.sessions.layouts import READERS, VERSION, Body
from streams.sessions.slices import Slice

SEEN_BYTES: Final = 12  # 8 of the id's hash, 4 of received_at in seconds
# A client may send 30 KB of referrer in every half hour. A state that no longer fits into a record of 2 MiB would end
# the worker, and each that comes after it.
_VALUE_BYTES_MAX: Final = 2**20


class SessionState(msgspec.Struct, gc=False):
    """The decoded value of one key.

    applied: highest source offset folded in, -1 before the first; active_ms: latest received_at; newest_at: moment of
    the latest event; seen: `SEEN_BYTES` for each remembered message id, oldest first; slices: by cell.
    `born_ms` is the received_at of the first event, 0 in states of before that was kept; `late_round` the round of late
    events (`streams.sessions.late`). Since the state was last durable, `changed` holds the cells touched, unless
    there is one slice only, and `renamed` those with which a session began or ceased to begin.
    """

    applied: int
    active_ms: int
    newest_at: int
    seen: bytes
    slices: list[Slice]
    changed: set[int]
    renamed: set[int]
    born_ms: int = 0
    late_round: int = 0


StateOf = Callable[[int, bytes], SessionState]  # the state of a key of a partition, to be changed in place

_encode_body: Final = msgspec.msgpack.Encoder().encode
_bodies: Final = Bodies("sessions", VERSION, _encode_body, READERS)


def new_state() -> SessionState:
    """The state of a key never seen before."""
    return SessionState(-1, 0, 0, b"", [], set(), set())


def encode_state(state: SessionState) -> bytes:
    """The table's value. It fits into a record of the changelog: texts are clipped when it otherwise would not."""
    return SessionStateCodec().encode(state)


def _seal(state: SessionState) -> bytes:
    body = Body(state.newest_at, state.seen, state.slices, state.born_ms, state.late_round)
    return _bodies.seal(state.applied, state.active_ms, body)


def decode_state(value: bytes) -> SessionState:
    """The inverse of `encode_state`; reads what every release wrote. Raises UnreadableStateError."""
    applied, active_ms, body = _bodies.open(value)
    return SessionState(
        *(applied, active_ms, body.newest_at, body.seen, body.slices, set(), set(), body.born_ms, body.late_round)
    )


class SessionStateCodec:
    """Session states as values of the table."""

    new = staticmethod(new_state)
    decode = staticmethod(decode_state)

    def __init__(self) -> None:
        self.clipped = 0

    def encode(self, state: SessionState) -> bytes:
        """As `encode_state`, and counts."""
        value = _seal(state)
        if len(value) > _VALUE_BYTES_MAX:
            for piece in state.slices:
                piece.clip()
            self.clipped += 1
            value = _seal(state)
        return value
