"""Settle the claims that know both sides into the links of a visitor to its users. Pure.

Links are a set that only grows, each with the times of its earliest and latest claim; which user an event belongs to
is decided when it is asked (view events_resolved). So the result is the same for every order and repetition of claims.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from streams.identities.state import ClaimState, Link

LINKS_BYTES_MAX: Final = 2**20  # of one visitor's users and traits: its state must fit into a record of the changelog


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


def settle_link(state: ClaimState, claim: Mapping[str, Any], links_max: int) -> bool:
    """Fold a claim that knows both sides into the visitor's links; False when there is no room for it."""
    moment_ms: int = claim["linked_at"]
    others = sum(len(user.encode()) + len(link.traits.encode()) for user, link in state.links.items())
    if others + len(claim["user_id"].encode()) + len(claim["traits"].encode()) > LINKS_BYTES_MAX:
        return False
    link = state.links.get(claim["user_id"])
    has_traits = claim["traits"] != "{}"
    if link is None:
        if len(state.links) >= links_max:
            return False
        state.links[claim["user_id"]] = Link(
            moment_ms, moment_ms, claim["link_source"], claim["traits"], moment_ms if has_traits else -1
        )
        return True
    link.first_linked_ms = min(link.first_linked_ms, moment_ms)
    # Equal times are decided by the text, so that order of arrival decides nothing.
    if (moment_ms, claim["link_source"]) > (link.linked_ms, link.link_source):
        link.linked_ms, link.link_source = moment_ms, claim["link_source"]
    if has_traits and (moment_ms, claim["traits"]) > (link.traits_ms, link.traits):
        link.traits_ms, link.traits = moment_ms, claim["traits"]
    return True
