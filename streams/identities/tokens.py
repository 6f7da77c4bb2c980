"""Tokens that the collector minted: who brought one back, and so whom it ties to the visitor it was minted for. Pure.

The verdict is a function of the set of what was seen with the token, whatever came first: it was minted for one
visitor, and counts for the customer with the earliest message in its time. So an earlier message that arrives later
deposes the one that was linked: that link is taken back.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from schemas.link_sources import CHAT, WEB
from schemas.outcomes import HandshakeOutcome
from streams.identities.state import Brought, ClaimState, Minted

EARLY_MS: Final = 60_000  # so much earlier than the mint a message may be: two clocks
VISITORS_MAX: Final = 3  # two are too many already
MESSAGES_MAX: Final = 50  # with one token: the earliest decide


class Tied(NamedTuple):
    """A visitor and the message that brought the visitor's token.

    settled_ms: later than whatever was claimed of this visitor and customer before. The customer's latest message may
    have been the one that tied before an earlier one came, and another customer's may have come in between: what takes
    a tie back, and what ties again, must be later. Each such change comes of something new that is known, so a
    millisecond for each thing known is enough.
    is_first: of the customer no other message counts, so nothing was claimed before.
    """

    anonymous_id: str
    minted: Minted
    fact_id: str
    brought: Brought
    settled_ms: int
    is_first: bool


class Verdict(NamedTuple):
    """What is tied before and after a claim, and what became of messages by it."""

    before: Tied | None
    after: Tied | None
    outcomes: Mapping[HandshakeOutcome, int]


def is_minted(claim: Mapping[str, Any]) -> bool:
    """Whether a claim speaks of a token that the collector minted."""
    return claim["handshake_side"] in (WEB, CHAT)


def judge(state: ClaimState, claim: Mapping[str, Any]) -> Verdict:
    """Note what a claim has seen with its token, and what that changes. `state.tied` is what was told of before."""
    outcomes_before, before = _outcomes(state), _tied(state, state.tied)
    if claim["handshake_side"] == WEB:
        _note_mint(state, claim)
    else:
        _note_message(state, claim)
    state.tied = _winner(state)
    changed: dict[HandshakeOutcome, int] = {}
    for fact_id, outcome in _outcomes(state).items():
        if outcomes_before.get(fact_id) != outcome:
            changed[outcome] = changed.get(outcome, 0) + 1
    return Verdict(before, _tied(state, state.tied), changed)


def never_minted(state: ClaimState) -> int:
    """How many messages brought a token that nobody was given."""
    return 0 if state.minted else len(state.brought)


def _note_mint(state: ClaimState, claim: Mapping[str, Any]) -> None:
    visitor, at = claim["anonymous_id"], claim["linked_at"]
    expires_ms = claim["expires_at"] if claim["expires_at"] is not None else at
    known = state.minted.get(visitor)
    if known is None:
        if len(state.minted) < VISITORS_MAX:
            state.minted[visitor] = Minted(at, expires_ms, claim["session_id"], claim["user_id"])
        return
    # A click again within the hour is the same token: the first of them counts.
    if at < known.first_ms:
        known.first_ms, known.session_id, known.user_id = at, claim["session_id"], claim["user_id"]
    known.expires_ms = max(known.expires_ms, expires_ms)


def _note_message(state: ClaimState, claim: Mapping[str, Any]) -> None:
    fact_id = claim["fact_id"]
    told = Brought(claim["linked_at"], claim["customer"], claim["project_id"], claim["phone_number_id"])
    known = state.brought.get(fact_id)
    if known is None or told.at_ms < known.at_ms:
        state.brought[fact_id] = told
    if len(state.brought) > MESSAGES_MAX:
        del state.brought[max(state.brought, key=lambda one: (state.brought[one].at_ms, one))]


def _winner(state: ClaimState) -> tuple[str, str] | None:
    """The visitor and the message; None where nothing is tied."""
    if len(state.minted) != 1:
        return None
    ((visitor, minted),) = state.minted.items()
    timely = [(one.at_ms, fact_id) for fact_id, one in state.brought.items() if _is_timely(one, minted)]
    return (visitor, min(timely)[1]) if timely else None


def _is_timely(brought: Brought, minted: Minted) -> bool:
    return minted.first_ms - EARLY_MS <= brought.at_ms <= minted.expires_ms


def _tied(state: ClaimState, winner: tuple[str, str] | None) -> Tied | None:
    if winner is None or winner[1] not in state.brought:
        return None
    visitor, fact_id = winner
    minted, brought = state.minted[visitor], state.brought[fact_id]
    theirs = [one.at_ms for one in state.brought.values() if one.customer == brought.customer]
    timely = [at_ms for at_ms in theirs if at_ms <= minted.expires_ms]
    settled_ms = max(timely, default=brought.at_ms) + len(state.brought) + len(state.minted)
    return Tied(visitor, minted, fact_id, brought, settled_ms, len(theirs) == 1)


def _outcomes(state: ClaimState) -> dict[str, HandshakeOutcome]:
    """What became of each message; of those that say nothing new, none."""
    if not state.minted:
        return {}
    if len(state.minted) > 1:
        return dict.fromkeys(state.brought, HandshakeOutcome.AMBIGUOUS)
    (minted,) = state.minted.values()
    winner = _winner(state)
    found: dict[str, HandshakeOutcome] = {}
    for fact_id, one in state.brought.items():
        if one.at_ms < minted.first_ms - EARLY_MS:
            found[fact_id] = HandshakeOutcome.EARLY
        elif one.at_ms > minted.expires_ms:
            found[fact_id] = HandshakeOutcome.EXPIRED
        elif winner is not None and fact_id == winner[1]:
            found[fact_id] = HandshakeOutcome.LINKED
        elif winner is not None and one.customer != state.brought[winner[1]].customer:
            found[fact_id] = HandshakeOutcome.REUSED
    return found
