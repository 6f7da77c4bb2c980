"""What the table `conversations` holds: names of customers under `a/…`, and their facts under `c/…` (`schemas.keys`).

Facts stand under the name they were told of. Which customer that is, is decided when they are folded: so whatever is
learned of names later, in whatever order, the rows are those of the set. Pure.
"""

from typing import Final

import msgspec

from streams.conversations.episodes import Link, Sealed
from streams.conversations.facts import Fact
from streams.conversations.names import Names
from streams.runtime.envelope import Bodies


class Customer(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """What is known under one name.

    facts: by name (`facts.name_of`); links: by message id, then token. What follows is of the whole customer, and kept
    under its canonical name: sealed; sealed_ids: hashes (`settle.SEALED_ID_BYTES`) of messages that went out before
    `sealed.until_ms`, the newest last; looked_ms: until when it is known that nothing came; emitted: digests of the
    rows of its conversations, by id.
    """

    facts: dict[str, Fact] = {}
    links: dict[str, dict[str, Link]] = {}
    sealed: Sealed = msgspec.field(default_factory=Sealed)
    sealed_ids: bytes = b""
    looked_ms: int = 0
    emitted: dict[str, int] = {}


class ConversationState(msgspec.Struct, gc=False):
    """The decoded value of one key: of a customer's facts or of its names.

    applied: the highest offset of a signal in it; active_ms: the newest received_at; silent_ms: when the episode that
    is open will have been silent for too long, 0 when none is.
    """

    applied: int = -1
    active_ms: int = 0
    silent_ms: int = 0
    customer: Customer = msgspec.field(default_factory=Customer)
    names: Names = msgspec.field(default_factory=Names)


class _Body(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """silent_ms stands first, so that it can be read without the rest."""

    silent_ms: int
    customer: Customer
    names: Names


class _Silent(msgspec.Struct, array_like=True, gc=False):
    silent_ms: int


_VERSION: Final = 1
_ENVELOPE_BYTES: Final = 17
_silent: Final = msgspec.msgpack.Decoder(_Silent)
_bodies: Final = Bodies(
    "conversations", _VERSION, msgspec.msgpack.Encoder().encode, {1: msgspec.msgpack.Decoder(_Body).decode}
)


def silent_ms_of(value: bytes) -> int:
    """`silent_ms` of an encoded state."""
    return _silent.decode(value[_ENVELOPE_BYTES:]).silent_ms


class ConversationStateCodec:
    """States as values of the table. They are bounded by what signals may add: none is shortened."""

    clipped = 0
    new = staticmethod(ConversationState)

    def encode(self, state: ConversationState) -> bytes:
        return _bodies.seal(state.applied, state.active_ms, _Body(state.silent_ms, state.customer, state.names))

    def decode(self, value: bytes) -> ConversationState:
        """Raises UnreadableStateError."""
        applied, active_ms, body = _bodies.open(value)
        return ConversationState(applied, active_ms, body.silent_ms, body.customer, body.names)
