"""Pair the ids seen with one handshake token: into claims that know both sides. Pure.

A token is meant for one person: what was seen with it, visitors and users, from the browser that showed it and from
where it came back, belongs together. For a while: tokens are used again, and two ids that were seen with one further
apart than its lifetime are strangers.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from schemas.link_sources import HANDSHAKE
from streams.identities.state import ClaimState, Sighting

HANDSHAKE_IDS_MAX: Final = 10  # on each side; a token that has more is no handshake, and ties none of the others
HANDSHAKE_ID_BYTES_MAX: Final = 2**16  # as many of them as may be fit into a record of the changelog


def pair_sides(state: ClaimState, claim: Mapping[str, Any], lifetime_ms: int) -> list[dict[str, Any]] | None:
    """Note the ids seen with a token: the claims that tie them to those of the other side, to be keyed by the visitor.

    None when an id is one more than a token may have, or too long. A pair is linked from when both its ids had been
    seen to when the later of them was seen last: among the claims of all orders of arrival are those two moments, and
    none outside them. Traits are not carried over.
    """
    visitor, user, moment_ms = claim["anonymous_id"], claim["user_id"], claim["linked_at"]
    paired = dict(claim) | {"link_source": HANDSHAKE, "traits": "{}"}
    found: list[dict[str, Any]] = []
    refused = False
    if visitor:
        refused |= not _note(state.visitors, visitor, moment_ms, lifetime_ms)
    if user:
        refused |= not _note(state.users, user, moment_ms, lifetime_ms)
    if visitor in state.visitors:
        for other, at in _ties(state.users, moment_ms, lifetime_ms):
            found.append(paired | {"anonymous_id": visitor, "user_id": other, "linked_at": at})
    if user in state.users:
        for other, at in _ties(state.visitors, moment_ms, lifetime_ms):
            found.append(paired | {"anonymous_id": other, "user_id": user, "linked_at": at})
    return None if refused and not found else found


def _note(own: dict[str, Sighting], name: str, moment_ms: int, lifetime_ms: int) -> bool:
    """Note that an id was seen; False when there is no room. Those whose time has passed make it."""
    sighting = own.get(name)
    if sighting is not None and moment_ms - sighting.last_ms <= lifetime_ms:
        if sighting.first_ms - moment_ms > lifetime_ms:
            return True  # from a use of the token before this one
        sighting.first_ms = min(sighting.first_ms, moment_ms)
        sighting.last_ms = max(sighting.last_ms, moment_ms)
        return True
    for gone in [other for other, seen in own.items() if moment_ms - seen.last_ms > lifetime_ms]:
        del own[gone]
    if len(own) >= HANDSHAKE_IDS_MAX or len(name.encode()) > HANDSHAKE_ID_BYTES_MAX:
        return False
    own[name] = Sighting(moment_ms, moment_ms)
    return True


def _ties(others: Mapping[str, Sighting], moment_ms: int, lifetime_ms: int) -> Iterator[tuple[str, int]]:
    """The ids that one seen at a moment belongs to, and when that was: the later of the two moments."""
    for other, seen in others.items():
        if seen.first_ms - lifetime_ms <= moment_ms <= seen.last_ms + lifetime_ms:
            ends = {end for end in (seen.first_ms, seen.last_ms) if abs(moment_ms - end) <= lifetime_ms}
            yield from ((other, at) for at in sorted({max(moment_ms, end) for end in ends} or {moment_ms}))
