"""Settle the claims that know both sides into the links of a visitor to its users. Pure.

Links are a set that only grows, each with the times of its earliest and latest claim; which user an event belongs to
is decided when it is asked (view events_resolved). So the result is the same for every order and repetition of claims.
"""

from collections.abc import Iterable, Mapping
from enum import Enum, auto
from typing import Any, Final

import msgspec

from schemas.link_sources import ALIAS
from streams.identities.state import ClaimState, Link

TRAITS_BYTES_MAX: Final = 2**17  # of one visitor, all links together: each claim writes its whole state
USERS_BYTES_MAX: Final = 2**17  # of their ids


def without_secrets(traits: str, secrets: Iterable[str]) -> str:
    """The JSON object less its members named like secrets, in any case; '{}' when it is not an object.

    Only one that may have such members is decoded; a backslash may spell a letter of their names.
    """
    lowered = traits.lower()
    if lowered.startswith("{") and "\\" not in lowered and not any(name in lowered for name in secrets):
        return traits
    try:
        members = msgspec.json.decode(traits, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeError):
        return "{}"
    kept = {name: value for name, value in members.items() if name.lower() not in secrets}
    return msgspec.json.encode(kept).decode()


def take_back(state: ClaimState, claim: Mapping[str, Any]) -> bool:
    """Take back what a claim of such a moment has linked; whether there is such a link.

    A claim of a later moment links again, whichever of the two comes first.
    """
    link = state.links.get(claim["user_id"])
    if link is None:
        return False
    link.deleted_ms = max(link.deleted_ms, claim["linked_at"] + 1)
    return True


class Settled(Enum):
    """What became of a claim."""

    LINKED = auto()
    WITHOUT_TRAITS = auto()  # linked; its traits have no room
    SHARED = auto()  # not linked: the visitor has as many users as it may


def settle_link(state: ClaimState, claim: Mapping[str, Any], links_max: int) -> Settled:
    """Fold a claim that knows both sides into the visitor's links.

    A visitor with `links_max` users is a device that many share, a till or a library's computer: whoever comes after is
    not linked to it, since what others do there says nothing of them. Known links go on.
    """
    moment_ms: int = claim["linked_at"]
    link = state.links.get(claim["user_id"])
    if link is None:
        if len(state.links) >= links_max or _bytes_of([*state.links, claim["user_id"]]) > USERS_BYTES_MAX:
            return Settled.SHARED
        link = state.links[claim["user_id"]] = Link(moment_ms, moment_ms, claim["link_source"], "{}", -1)
    link.first_linked_ms = min(link.first_linked_ms, moment_ms)
    # Equal times are decided by the text, so that order of arrival decides nothing. What was once said to be an alias
    # stays one: that one user is another holds of their events too, not of a visitor's alone.
    is_alias = ALIAS in (claim["link_source"], link.link_source)
    if (moment_ms, claim["link_source"]) > (link.linked_ms, link.link_source):
        link.linked_ms, link.link_source = moment_ms, claim["link_source"]
    if is_alias:
        link.link_source = ALIAS
    if claim["traits"] == "{}" or (moment_ms, claim["traits"]) <= (link.traits_ms, link.traits):
        return Settled.LINKED
    others = [other.traits for other in state.links.values() if other is not link]
    if _bytes_of([*others, claim["traits"]]) > TRAITS_BYTES_MAX:
        return Settled.WITHOUT_TRAITS
    link.traits_ms, link.traits = moment_ms, claim["traits"]
    return Settled.LINKED


def _bytes_of(texts: Iterable[str]) -> int:
    return sum(len(text.encode()) for text in texts)
