"""What one customer's facts come to: gathered from all its names, folded, and sealed where they are old. Pure.

Facts of the last nine days are kept, as many as a state may hold. What is older is folded into the episode that goes on
from there (`Sealed`) and forgotten; the rows of earlier episodes stay as they are. A fact from before that is too late:
its event is stored, and changes no row.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Final, NamedTuple, Protocol

from streams.conversations.episodes import RESOLVED, Episode, EpisodeRules, Link, Sealed, fold
from streams.conversations.facts import Fact, Moment, is_outbound, join, moments
from streams.conversations.names import Group
from streams.conversations.state import ConversationState, Customer

_DAY_MS: Final = 86_400_000
LATENESS_MS: Final = 8 * _DAY_MS
"""A fact that reaches the collector later than this is not folded: WhatsApp repeats for a week, and a day."""
KEPT_MS: Final = LATENESS_MS + _DAY_MS  # records of several partitions come a little out of order, or after an outage
FACTS_MAX: Final = 5_000
_FACTS_LEFT: Final = 4_000  # when there were too many: sealing costs a fold
_FACTS_BYTES_MAX: Final = 2**19
SEALED_ID_BYTES: Final = 8
_SEALED_IDS_MAX: Final = 5_000


class StatesOf(Protocol):
    """The states of the names of one business number's customers, by name."""

    def peek(self, name: str) -> ConversationState | None:
        """To be read; None when there is none."""

    def state_of(self, name: str) -> ConversationState:
        """To be changed."""


class Namer(Protocol):
    """What conversations are called, and by what it is seen that a row is another than before."""

    def name(self, customer: str, episode: Episode) -> str:
        """The conversation's id."""

    def digest(self, group: Group, episode: Episode) -> int:
        """The same for two rows that say the same."""


class Settled(NamedTuple):
    """What is to be published of a customer: the episodes whose rows are new or changed, with their ids, and the ids of
    those that are no more.

    applied: the highest offset of a signal in them; late: facts that came too late; open_state: of the open episode.
    """

    changed: Sequence[tuple[str, Episode]]
    ceased: Sequence[str]
    applied: int
    late: int
    open_state: str


def settle(
    group: Group, states: StatesOf, rules: EpisodeRules, namer: Namer, offset: int, looked_ms: int = 0
) -> Settled:
    """Fold a customer. `offset`: the highest that touched it.

    looked_ms: until when it is known that nothing else has come; 0 when nobody has looked.
    """
    canonical = group.names[0]
    main = states.state_of(canonical)
    mine = main.customer
    others = [name for name in [*group.names[1:], *group.owners] if states.peek(name) is not None]
    main.applied = max(offset, main.applied, *(_known(states, name).applied for name in others))
    for name in others:
        _take_over(main, name, states, namer)
    mine.looked_ms = max(mine.looked_ms, looked_ms)
    links = _links(canonical, others, group, states, mine.sealed)
    facts = _gathered(canonical, others, group, states)
    late = [name for name, fact in facts.items() if _is_late(name, fact, mine)]
    _forget(late, [canonical, *others], states)
    timely = facts.keys() - late
    ordered = moments(((name, facts[name]) for name in timely), rules.default_sender)
    episodes = fold(ordered, rules, mine.sealed, links, mine.looked_ms or None)
    digests = {namer.name(canonical, episode): namer.digest(group, episode) for episode in episodes}
    changed = [
        (conversation_id, episode)
        for (conversation_id, digest), episode in zip(digests.items(), episodes, strict=True)
        if mine.emitted.get(conversation_id) != digest
    ]
    ceased = sorted(mine.emitted.keys() - digests.keys())
    mine.emitted = digests
    active_ms = max([main.active_ms, *(_known(states, name).active_ms for name in others if name in group.names)])
    if cut := _sealed_count(ordered, active_ms - KEPT_MS):
        _seal(mine, ordered, cut, rules, links)
        _forget([moment.name for moment in ordered[:cut]], [canonical, *others], states)
        left = {namer.name(canonical, episode) for episode in fold(ordered[cut:], rules, mine.sealed)}
        mine.emitted = {conversation_id: digests[conversation_id] for conversation_id in left & digests.keys()}
    last = episodes[-1] if episodes else None
    is_open = last is not None and last.state != RESOLVED
    main.silent_ms = last.last_activity_at + rules.inactivity_ms if last is not None and is_open else 0
    return Settled(changed, ceased, main.applied, len(late), last.state if last is not None and is_open else "")


def _known(states: StatesOf, name: str) -> ConversationState:
    state = states.peek(name)
    assert state is not None
    return state


def _take_over(main: ConversationState, name: str, states: StatesOf, namer: Namer) -> None:
    """What is kept under the canonical name, of one that was canonical before."""
    theirs = _known(states, name).customer
    if not (theirs.emitted or theirs.sealed.until_ms or theirs.looked_ms or _known(states, name).silent_ms):
        return
    state = states.state_of(name)
    mine, theirs = main.customer, state.customer
    if theirs.sealed.until_ms and not mine.sealed.until_ms:
        mine.sealed = theirs.sealed
    elif theirs.sealed.episode is not None:
        # Two customers with facts of more than nine days ago have become one. The older row stays as it was.
        theirs.emitted.pop(namer.name(name, theirs.sealed.episode), None)
    mine.sealed_ids = (theirs.sealed_ids + mine.sealed_ids)[-_SEALED_IDS_MAX * SEALED_ID_BYTES :]
    mine.looked_ms = max(mine.looked_ms, theirs.looked_ms)
    mine.emitted = theirs.emitted | mine.emitted
    theirs.sealed, theirs.sealed_ids, theirs.looked_ms, theirs.emitted = Sealed(), b"", 0, {}
    state.silent_ms = 0


def _links(
    canonical: str, others: Sequence[str], group: Group, states: StatesOf, sealed: Sealed
) -> dict[str, tuple[str, Link]]:
    """By message, the first token that brought it a visitor; those that were taken back leave the sealed episode."""
    found: dict[str, tuple[str, Link]] = {}
    for name in (canonical, *others):
        for fact_id, by_token in _known(states, name).customer.links.items():
            for token, link in sorted(by_token.items()):
                if link.is_taken_back:
                    if sealed.episode is not None and sealed.episode.token == token:
                        sealed.episode.token, sealed.episode.link = "", None
                elif name in group.names or group.owns(name, link.at):
                    found.setdefault(fact_id, (token, link))
    return found


def _gathered(canonical: str, others: Sequence[str], group: Group, states: StatesOf) -> dict[str, Fact]:
    """The customer's facts. One may have been told under several of its names."""
    facts = dict(_known(states, canonical).customer.facts)
    for name, fact_name, fact in _of_others(others, states):
        if name in group.names or group.owns(name, fact.at):
            known = facts.get(fact_name)
            facts[fact_name] = fact if known is None else join(known, fact)
    return facts


def _of_others(others: Sequence[str], states: StatesOf) -> Iterator[tuple[str, str, Fact]]:
    for name in others:
        for fact_name, fact in _known(states, name).customer.facts.items():
            yield name, fact_name, fact


def _is_late(name: str, fact: Fact, customer: Customer) -> bool:
    """Whether a fact is of the time that is sealed. So is a message's receipt that comes after it was."""
    if fact.at < customer.sealed.until_ms:
        return True
    return bool(customer.sealed_ids) and is_outbound(name) and _hash(name) in _hashes(customer.sealed_ids)


def _hashes(sealed_ids: bytes) -> frozenset[bytes]:
    starts = range(0, len(sealed_ids), SEALED_ID_BYTES)
    return frozenset(sealed_ids[start : start + SEALED_ID_BYTES] for start in starts)


def _hash(name: str) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=SEALED_ID_BYTES).digest()


def _forget(fact_names: Sequence[str], names: Sequence[str], states: StatesOf) -> None:
    for name in names:
        mine = _known(states, name).customer.facts
        if gone := [fact_name for fact_name in fact_names if fact_name in mine]:
            facts = states.state_of(name).customer.facts
            for fact_name in gone:
                del facts[fact_name]


def _sealed_count(ordered: Sequence[Moment], bound_ms: int) -> int:
    """How many of the moments are sealed: those before a time, and the oldest of too many. All of one time are."""
    count = bisect_left(ordered, bound_ms, key=lambda moment: moment.at)
    if len(ordered) > FACTS_MAX:
        count = max(count, len(ordered) - _FACTS_LEFT)
    sizes = list(accumulate(moment.fact.size(moment.name) for moment in reversed(ordered)))
    if sizes and sizes[-1] > _FACTS_BYTES_MAX:
        count = max(count, len(ordered) - bisect_left(sizes, _FACTS_BYTES_MAX // 2))
    while 0 < count < len(ordered) and ordered[count].at == ordered[count - 1].at:
        count += 1
    return count


def _seal(
    customer: Customer,
    ordered: Sequence[Moment],
    count: int,
    rules: EpisodeRules,
    links: Mapping[str, tuple[str, Link]],
) -> None:
    """Fold the first `count` moments into what goes on after them."""
    old = ordered[:count]
    episodes = fold(old, rules, customer.sealed, links)
    last = episodes[-1] if episodes else None
    until_ms = old[-1].at + 1
    is_over = last is not None and last.state == RESOLVED and until_ms - last.last_activity_at > rules.inactivity_ms
    cell, began = (last.cell, last.ordinal + 1) if last is not None else (customer.sealed.cell, customer.sealed.began)
    customer.sealed = Sealed(until_ms, None if is_over else last, cell, began)
    ids = b"".join(_hash(moment.name) for moment in old if is_outbound(moment.name))
    customer.sealed_ids = (customer.sealed_ids + ids)[-_SEALED_IDS_MAX * SEALED_ID_BYTES :]
