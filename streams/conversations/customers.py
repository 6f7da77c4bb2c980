"""Signals into the states of one business number's customers: facts, links and names, each under the name it was told
of. Pure."""

from typing import Final

from schemas import keys
from schemas.outcomes import FactOutcome
from schemas.whatsapp import ALIAS, FACTS, UNLINKED, is_phone
from streams.conversations.episodes import Link
from streams.conversations.facts import note
from streams.conversations.names import Names, tie
from streams.conversations.settle import LATENESS_MS
from streams.conversations.signal import Signal
from streams.conversations.state import ConversationState
from streams.runtime.operator import HeldStates

_DAY_MS: Final = 86_400_000
_NEVER: Final = 2**62
_LINKED_MESSAGES_MAX: Final = 100  # of one customer


class Customers:
    """The states of a business number, in its partition. touched: names of which more is known since it was emptied,
    with the highest offset of a signal that said so."""

    def __init__(self, states: HeldStates[ConversationState], partition: int, number: bytes) -> None:
        self._states = states
        self._partition = partition
        self._number = number
        self.touched: dict[str, int] = {}

    def key(self, name: str) -> bytes:
        """That of the state of what is known under a name."""
        return keys.of_customer(self._number, name)

    def peek(self, name: str) -> ConversationState | None:
        """What is known under a name, to be read."""
        return self._states.peek(self._partition, self.key(name))

    def state_of(self, name: str) -> ConversationState:
        """The same, to be changed."""
        return self._states.state_of(self._partition, self.key(name))

    def names_of(self, name: str) -> Names | None:
        """The other names that a name is tied to, to be read."""
        state = self._states.peek(self._partition, keys.of_names(self._number, name))
        return None if state is None else state.names

    def take(self, signal: Signal, offset: int) -> FactOutcome:
        """Put a signal to what is known."""
        if signal.kind in FACTS and signal.received_at - signal.at > LATENESS_MS:
            return FactOutcome.LATE
        self._learn_names(signal, offset)
        if signal.kind == ALIAS:
            return FactOutcome.NEW
        if signal.is_failed:
            return FactOutcome.FAILED
        state = self.state_of(signal.customer)
        is_replayed = offset <= state.applied
        is_new = note(state.customer.facts, signal) if signal.kind in FACTS else _note_link(state, signal)
        state.applied = max(state.applied, offset)
        state.active_ms = max(state.active_ms, signal.received_at)
        self._touch(signal.customer, offset)
        if is_replayed:
            return FactOutcome.REPLAYED
        return FactOutcome.NEW if is_new else FactOutcome.KNOWN

    def _touch(self, name: str, offset: int) -> None:
        self.touched[name] = max(offset, self.touched.get(name, -1))

    def _learn_names(self, signal: Signal, offset: int) -> None:
        name, phone, former, at = signal.customer, signal.wa_id, signal.previous_customer, signal.at
        phone = "" if is_phone(name) else phone
        if not is_phone(name) or former:
            self._see(name, signal, offset, at, together=phone, alias=former)
        if phone:
            self._see(phone, signal, offset, at, together=name)
        if former:
            # It was there before, whether or not a message of it ever came.
            self._see(former, signal, offset, at - 1, alias=name)

    def _see(self, name: str, signal: Signal, offset: int, at: int, together: str = "", alias: str = "") -> None:
        """Note that a name was seen, and with which others. A state that would only be younger is left for a day."""
        key = keys.of_names(self._number, name)
        state = self._states.peek(self._partition, key)
        if state is not None and signal.received_at - state.active_ms < _DAY_MS:
            known = state.names
            is_known = at >= known.first_ms
            is_known &= not together or known.together.get(together, _NEVER) <= signal.at
            is_known &= not alias or known.aliases.get(alias, _NEVER) <= signal.at
            if is_known:
                return
        state = self._states.state_of(self._partition, key)
        names = state.names
        is_new = at < names.first_ms
        names.first_ms = min(names.first_ms, at)
        if together:
            is_new |= tie(names.together, together, signal.at)
        if alias:
            is_new |= tie(names.aliases, alias, signal.at)
        state.applied = max(state.applied, offset)
        state.active_ms = max(state.active_ms, signal.received_at)
        if is_new:
            self._touch(name, offset)


def _note_link(state: ConversationState, signal: Signal) -> bool:
    """Note what a token tied, or that it did not after all; whether that says anything new."""
    links = state.customer.links
    by_token = links.get(signal.fact_id, {})
    known = by_token.get(signal.handshake_token)
    if known is not None and (known.is_taken_back or signal.kind != UNLINKED):
        return False
    if known is None and len(links) >= _LINKED_MESSAGES_MAX:
        del links[min(links, key=lambda fact_id: max(link.at for link in links[fact_id].values()))]
    link = Link(signal.at, signal.anonymous_id, signal.session_id, signal.user_id, signal.kind == UNLINKED)
    links[signal.fact_id] = by_token | {signal.handshake_token: link}
    return True
