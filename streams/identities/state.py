"""What the identity table holds for one Kafka key of identity_claims: a visitor, or a handshake token. Pure."""

import msgspec


class Link(msgspec.Struct, array_like=True):
    """One visitor-user link; times in ms."""

    first_linked_ms: int
    linked_ms: int
    link_source: str
    traits: str
    traits_ms: int


class Sighting(msgspec.Struct, array_like=True):
    """When an id was seen with a handshake token; times in ms."""

    first_ms: int
    last_ms: int


class ClaimState(msgspec.Struct, array_like=True):
    """What the identity table holds for one key.

    For a visitor: its links, by user. For a handshake token: the visitors and the users seen with it.
    """

    links: dict[str, Link]
    visitors: dict[str, Sighting]
    users: dict[str, Sighting]


def new_claims() -> ClaimState:
    """The state of a key never seen before."""
    return ClaimState({}, {}, {})
