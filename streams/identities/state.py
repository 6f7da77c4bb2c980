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
    deleted_ms: int = -1  # when it was taken back last; a later claim makes it anew


class Sighting(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """When an id was seen with a handshake token; times in ms."""

    first_ms: int
    last_ms: int


class Minted(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """When the collector minted a token for a visitor, until when it counts, and in which session of which user."""

    first_ms: int
    expires_ms: int
    session_id: str
    user_id: str


class Brought(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """When a message brought a token, of which customer, at which project's business number."""

    at_ms: int
    customer: str
    project_id: str
    phone_number_id: str


class ClaimState(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """What the identity table holds for one key.

    For a visitor: its links, by user. For a handshake token: the visitors and the users seen with it; for one that the
    collector minted: the visitors it was minted for, the messages that brought it, by their ids, and which visitor and
    message are tied.
    """

    links: dict[str, Link]
    visitors: dict[str, Sighting]
    users: dict[str, Sighting]
    minted: dict[str, Minted] = {}
    brought: dict[str, Brought] = {}
    tied: tuple[str, str] | None = None


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
# a reader of its own. The bodies before there were versions are those of the first. The second has more at the end of
# each array: what is not there has its default.
_VERSION: Final = 2
_decoder: Final = msgspec.msgpack.Decoder(ClaimState)
_bodies: Final = Bodies(
    "identities",
    _VERSION,
    msgspec.msgpack.Encoder().encode,
    {UNVERSIONED: _decoder.decode, 1: _decoder.decode, 2: _decoder.decode},
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
