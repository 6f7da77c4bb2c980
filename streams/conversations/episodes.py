"""The fold: facts of one customer at one business number, in their order, into episodes. Pure.

    state ↓ fact →   customer   bot         agent         unknown  to_bot      queue        to_agent      ended
    none, resolved   NEW        –           –             –        NEW         NEW          NEW           –
    queued           =          bot_active  agent_active  =        bot_active  =            agent_active  resolved
    bot_active       =          =           agent_active  =        =           queued       agent_active  resolved
    agent_active     =          =           =             =        bot_active  queued       =             resolved

An episode is also over when the next fact comes more than `inactivity_ms` after the last of anyone, or more than
`episode_ms` after it began. What goes out while none is open is counted in the resolved one for as long, and later in
none. A template answers nothing and holds nothing open. `started` opens as a customer's message, and is not counted.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

from schemas.whatsapp import AGENT, BOT, CUSTOMER, ENDED, QUEUE, STARTED, TO_AGENT, TO_BOT, UNKNOWN
from streams.conversations.facts import TEMPLATE, Moment, id_of

QUEUED: Final = "queued"
BOT_ACTIVE: Final = "bot_active"
AGENT_ACTIVE: Final = "agent_active"
RESOLVED: Final = "resolved"
INACTIVITY: Final = "inactivity"
CELL_MS: Final = 1_800_000
"""The half-hour of an episode's beginning is in its name: seconds of disorder rename nothing."""
_OPENS: Final[Mapping[str, str]] = {
    CUSTOMER: "", STARTED: "", QUEUE: QUEUED, TO_BOT: BOT_ACTIVE, TO_AGENT: AGENT_ACTIVE,
}  # fmt: skip
_MESSAGES: Final = frozenset((CUSTOMER, BOT, AGENT, UNKNOWN, TEMPLATE))
_EPISODE_MS_MAX: Final = 30 * 86_400_000


class EpisodeRules(NamedTuple):
    """When episodes end, in ms, and what a number's settings say of its conversations."""

    inactivity_ms: int = 86_400_000
    grace_ms: int = 0
    first_state: str = QUEUED
    default_sender: str = UNKNOWN
    episode_ms: int = _EPISODE_MS_MAX


class Link(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """What a handshake token tied to a message. Once taken back it stays so: verdicts only go to earlier messages."""

    at: int
    anonymous_id: str
    session_id: str
    user_id: str
    is_taken_back: bool = False


class Episode(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """One conversation. Times in ms, `None` where there is none yet; ordinal: how many began in its half-hour before.

    wait_at: since when it is queued; unanswered_at: the oldest customer's message that nobody has answered.
    """

    state: str
    started_at: int
    last_at: int
    last_activity_at: int
    ordinal: int = 0
    first_response_at: int | None = None
    first_agent_response_at: int | None = None
    queued_at: int | None = None
    resolved_at: int | None = None
    resolved_reason: str = ""
    messages: int = 0
    customer_messages: int = 0
    bot_messages: int = 0
    agent_messages: int = 0
    handoffs: int = 0
    queued_ms: int = 0
    bot_ms: int = 0
    agent_ms: int = 0
    wait_at: int | None = None
    unanswered_at: int | None = None
    user_id: str = ""
    ctwa_clid: str = ""
    ad_id: str = ""
    token: str = ""
    link: Link | None = None

    @property
    def cell(self) -> int:
        """The half-hour in which it began."""
        return self.started_at // CELL_MS

    def close(self, at: int, reason: str) -> None:
        """Resolve it; one that is resolved stays as it was."""
        if self.state != RESOLVED:
            self.state, self.resolved_at, self.resolved_reason = RESOLVED, at, reason


class Sealed(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """What is left of facts before `until_ms`: the episode they ended with, and where the next one is counted from.

    cell, began: the half-hour in which the last of them began, and how many began in it.
    """

    until_ms: int = 0
    episode: Episode | None = None
    cell: int = -1
    began: int = 0


NOTHING_SEALED: Final = Sealed()


def fold(
    moments: Iterable[Moment],
    rules: EpisodeRules,
    sealed: Sealed = NOTHING_SEALED,
    links: Mapping[str, tuple[str, Link]] | None = None,
    now_ms: int | None = None,
) -> list[Episode]:
    """The episodes, oldest first; the sealed one, if any, goes on as the first of them.

    links: token and link by the id of the message that brought it. now_ms: until when nothing else has come.
    """
    episodes: list[Episode] = []
    open_one: Episode | None = None
    cell, began = sealed.cell, sealed.began
    if sealed.episode is not None:
        open_one = msgspec.structs.replace(sealed.episode)
        episodes.append(open_one)
    for moment in moments:
        if open_one is not None and _is_over(open_one, moment.at, rules):
            open_one = None
        if _begins(open_one, moment, rules):
            state = _OPENS[moment.kind] or rules.first_state
            if moment.fact.is_standby:
                state = BOT_ACTIVE
            open_one = Episode(state, moment.at, moment.at, moment.at)
            open_one.wait_at = None if state == BOT_ACTIVE else moment.at
            began = began + 1 if open_one.cell == cell else 1
            cell, open_one.ordinal = open_one.cell, began - 1
            episodes.append(open_one)
        if open_one is not None:
            _apply(open_one, moment)
            _note_entry(open_one, moment, links or {})
    if now_ms is not None and open_one is not None:
        _is_over(open_one, now_ms, rules, by_length=False)
    return episodes


def _is_over(episode: Episode, at: int, rules: EpisodeRules, *, by_length: bool = True) -> bool:
    """Whether what comes at such a time is no more of the episode, which is resolved then."""
    if at - episode.last_activity_at > rules.inactivity_ms:
        episode.close(episode.last_activity_at + rules.inactivity_ms, INACTIVITY)
        return True
    if by_length and episode.state != RESOLVED and at - episode.started_at > rules.episode_ms:
        episode.close(episode.last_activity_at, INACTIVITY)
        return True
    return False


def _begins(episode: Episode | None, moment: Moment, rules: EpisodeRules) -> bool:
    if moment.kind not in _OPENS:
        return False
    if episode is None:
        return True
    if episode.resolved_at is None:
        return False
    return not (moment.kind == CUSTOMER and moment.at - episode.resolved_at <= rules.grace_ms)


def _apply(episode: Episode, moment: Moment) -> None:
    at, kind = moment.at, moment.kind
    _count_time(episode, at)
    if kind in _MESSAGES:
        episode.messages += 1
    if kind == TEMPLATE:
        return
    episode.last_activity_at = at
    episode.customer_messages += kind == CUSTOMER
    episode.bot_messages += kind == BOT
    episode.agent_messages += kind == AGENT
    if episode.state == RESOLVED:
        return  # counted, nothing else: a survey after the end, a customer's thanks
    if kind == CUSTOMER:
        if episode.unanswered_at is None:
            episode.unanswered_at = at
    elif kind in (BOT, AGENT):
        _respond(episode, kind, at)
    elif kind == QUEUE:
        if episode.state != QUEUED:
            episode.handoffs += episode.state == BOT_ACTIVE
            episode.state, episode.wait_at = QUEUED, at
    elif kind == TO_BOT:
        episode.state, episode.wait_at = BOT_ACTIVE, None
    elif kind == TO_AGENT:
        if episode.wait_at is None and episode.state != AGENT_ACTIVE:
            episode.wait_at = at
        episode.state = AGENT_ACTIVE
    elif kind == ENDED:
        episode.close(at, ENDED)


def _count_time(episode: Episode, at: int) -> None:
    passed = at - episode.last_at
    episode.last_at = at
    if episode.state == QUEUED:
        episode.queued_ms += passed
    elif episode.state == BOT_ACTIVE:
        episode.bot_ms += passed
    elif episode.state == AGENT_ACTIVE:
        episode.agent_ms += passed


def _respond(episode: Episode, kind: str, at: int) -> None:
    """A message of a bot or an agent. A bot's survey or receipt takes nothing from an agent."""
    if episode.first_response_at is None:
        episode.first_response_at = at
    if kind == BOT:
        if episode.state == QUEUED:
            episode.state, episode.wait_at = BOT_ACTIVE, None
    else:
        if episode.first_agent_response_at is None:
            episode.first_agent_response_at = at
            episode.queued_at = next(
                moment for moment in (episode.wait_at, episode.unanswered_at, at) if moment is not None
            )
        episode.state, episode.wait_at = AGENT_ACTIVE, None
    episode.unanswered_at = None


def _note_entry(episode: Episode, moment: Moment, links: Mapping[str, tuple[str, Link]]) -> None:
    """Who the customer is, and where from: the last told id; the first referral; the first token."""
    fact = moment.fact
    episode.user_id = fact.user_id or episode.user_id
    if not (episode.ctwa_clid or episode.ad_id):
        episode.ctwa_clid, episode.ad_id = fact.ctwa_clid, fact.ad_id
    if links and not episode.token and (found := links.get(id_of(moment.name))):
        episode.token, episode.link = found
