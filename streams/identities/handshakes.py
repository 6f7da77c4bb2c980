"""Pair the two sides of a handshake: claims that know a token and one side, into claims that know both. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from streams.identities.state import ClaimState, Sighting

HANDSHAKE_IDS_MAX: Final = 10  # on each side; a token is meant for one visitor and one user

HANDSHAKE_ID_BYTES_MAX: Final = 2**16  # as many of them as may be fit into a record of the changelog


def pair_sides(state: ClaimState, claim: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Note one side of a handshake: the claims that tie it to every id of the other side, to be keyed by the visitor.

    None when too many ids were seen with the token already, or the id is too long. A pair is linked from when both its
    ids had been seen to when the later of them was seen last: among the claims of all orders of arrival are those two
    moments, and none outside them. Traits are not carried over.
    """
    moment_ms: int = claim["linked_at"]
    by_visitor = bool(claim["anonymous_id"])
    own, others = (state.visitors, state.users) if by_visitor else (state.users, state.visitors)
    name = claim["anonymous_id"] or claim["user_id"]
    sighting = own.get(name)
    if sighting is None:
        if len(own) >= HANDSHAKE_IDS_MAX or len(name.encode()) > HANDSHAKE_ID_BYTES_MAX:
            return None
        own[name] = Sighting(moment_ms, moment_ms)
    else:
        sighting.first_ms = min(sighting.first_ms, moment_ms)
        sighting.last_ms = max(sighting.last_ms, moment_ms)
    paired = dict(claim) | {"link_source": "handshake", "traits": "{}"}
    return [
        paired
        | {"anonymous_id": name if by_visitor else other, "user_id": other if by_visitor else name, "linked_at": at}
        for other, seen in others.items()
        for at in sorted({max(moment_ms, seen.first_ms), max(moment_ms, seen.last_ms)})
    ]
