"""What counts of a customer's signals: a set of facts, one for each id, however often and in what order. Pure."""

from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Final, NamedTuple

import msgspec

from schemas.whatsapp import (
    AGENT,
    BOT,
    CUSTOMER,
    ECHO,
    ENDED,
    OUTBOUND,
    QUEUE,
    STARTED,
    TO_AGENT,
    TO_BOT,
    TOLD,
    UNKNOWN,
)
from streams.conversations.signal import Signal

TEMPLATE: Final = "template"
"""What an outbound message is that opens, answers and holds nothing."""
_RANKS: Final[Mapping[str, int]] = {
    STARTED: 0, CUSTOMER: 1, QUEUE: 2, TO_BOT: 2, TO_AGENT: 2, BOT: 3, UNKNOWN: 4, TEMPLATE: 4, AGENT: 5, ENDED: 6,
}  # fmt: skip
_TRUST: Final[Mapping[str, int]] = {"": 0, ECHO: 1, TOLD: 2}
# Messages that went out have ids of their own, and one of them is one fact whatever told of it. So is each other kind.
_LETTERS: Final[Mapping[str, str]] = {
    STARTED: "s", CUSTOMER: "c", QUEUE: "q", TO_BOT: "b", TO_AGENT: "a", OUTBOUND: "o", ENDED: "e",
}  # fmt: skip
_FACT_BYTES: Final = 48  # of a fact without texts, with what surrounds it


class Fact(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """at: the earliest time, ms. sender, trust, is_template: of messages that went out."""

    kind: str
    at: int
    is_standby: bool = False
    sender: str = ""
    trust: int = 0
    is_template: bool = False
    user_id: str = ""
    ctwa_clid: str = ""
    ad_id: str = ""

    def size(self, name: str) -> int:
        """About how many bytes it takes in a state."""
        return _FACT_BYTES + len(name) + len(self.user_id) + len(self.ctwa_clid) + len(self.ad_id)


class Moment(NamedTuple):
    """A fact as the fold takes it, in the order of the fold: by time, rank and name.

    kind: that of the fact; of a message that went out `template`, or its author.
    """

    at: int
    rank: int
    name: str
    kind: str
    fact: Fact


def name_of(kind: str, fact_id: str) -> str:
    """What a fact is called in a state."""
    return _LETTERS[kind] + fact_id


def id_of(name: str) -> str:
    """The id within a fact's name."""
    return name[1:]


def is_outbound(name: str) -> bool:
    """Whether it is a fact of a message that went out."""
    return name.startswith(_LETTERS[OUTBOUND])


def note(facts: dict[str, Fact], signal: Signal) -> bool:
    """Put a signal's fact to the others; whether anything is known now that was not.

    Not for a signal that says of a message only that it failed: nobody has read it.
    """
    name, told = name_of(signal.kind, signal.fact_id), _fact_of(signal)
    fact = facts.get(name)
    facts[name] = told if fact is None else join(fact, told)
    return facts[name] != fact


def join(one: Fact, other: Fact) -> Fact:
    """What two tellings of a fact come to: the same in whatever order, and however often."""
    # The more trusted author counts, of those trusted alike an agent rather than a bot.
    author = max((one, other), key=lambda fact: (fact.trust, _RANKS.get(fact.sender, -1), fact.sender))
    return Fact(
        one.kind,
        min(one.at, other.at),
        one.is_standby or other.is_standby,
        author.sender,
        author.trust,
        one.is_template or other.is_template,
        # One event says one thing of these; should two say different things, order decides nothing.
        max(one.user_id, other.user_id),
        max(one.ctwa_clid, other.ctwa_clid),
        max(one.ad_id, other.ad_id),
    )


def _fact_of(signal: Signal) -> Fact:
    return Fact(
        signal.kind,
        signal.at,
        signal.is_standby,
        signal.sender,
        _TRUST.get(signal.trust, 0) if signal.sender else 0,
        signal.is_template,
        signal.user_id,
        signal.ctwa_clid,
        signal.ad_id,
    )


def moments(facts: Iterable[tuple[str, Fact]], default_sender: str) -> list[Moment]:
    """Facts in the order of the fold."""
    return sorted((_moment(name, fact, default_sender) for name, fact in facts), key=_order)


_order: Final = itemgetter(0, 1, 2)


def _moment(name: str, fact: Fact, default_sender: str) -> Moment:
    kind = fact.kind
    if kind == OUTBOUND:
        kind = fact.sender or (TEMPLATE if fact.is_template else default_sender)
    return Moment(fact.at, _RANKS.get(kind, _RANKS[UNKNOWN]), name, kind, fact)
