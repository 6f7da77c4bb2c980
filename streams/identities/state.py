"""What the identity table holds for one Kafka key of identity_claims: a visitor, or a handshake token. Pure."""

from typing import Final

import msgspec

from streams.runtime.envelope import UNVERSIONED, Bodies


class Link(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """One visitor-user link; times in ms."""

    first_linked_ms: int
    linked_ms: int
    link_source: str
    traits: str
    traits_ms: int


class Sighting(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """When an id was seen with a handshake token; times in ms."""

    first_ms: int
    last_ms: int


class ClaimState(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """What the identity table holds for one key.

    For a visitor: its links, by user. For a handshake token: the visitors and the users seen with it.
    """

    links: dict[str, Link]
    visitors: dict[str, Sighting]
    users: dict[str, Sighting]


def new_claims() -> ClaimState:
    """The state of a key never seen before."""
    return ClaimState({}, {}, {})


class IdentityState(msgspec.Struct):
    """The decoded value of one key.

    applied: highest source offset folded in, -1 before the first; active_ms: the time of the latest claim.
    """

    applied: int
    active_ms: int
    claims: ClaimState


# A layout is never changed once a release has written it: a change is a new version, and the old struct stays here with
# a reader of its own. The bodies before there were versions are those of the first.
_VERSION: Final = 1
_decoder: Final = msgspec.msgpack.Decoder(ClaimState)
_bodies: Final = Bodies(
    "identities", _VERSION, msgspec.msgpack.Encoder().encode, {UNVERSIONED: _decoder.decode, 1: _decoder.decode}
)


class IdentityStateCodec:
    """Identity states as values of the table. They are bounded by what claims may add: none is shortened."""

    clipped = 0

    def new(self) -> IdentityState:
        return IdentityState(-1, 0, new_claims())

    def encode(self, state: IdentityState) -> bytes:
        return _bodies.seal(state.applied, state.active_ms, state.claims)

    def decode(self, value: bytes) -> IdentityState:
        """Raises UnreadableStateError."""
        return IdentityState(*_bodies.open(value))
