"""raw_events, whole: the steps of every chunk, and what each epoch leaves. Pure.

    every chunk:  records ─▶ decode ─▶ bound times ─▶ deduplicate ─▶ enrich ─▶ sessionize ─▶ encode ─▶ enriched_events
                               │                           │            │          │           ▲
                               ▼                           ▼            │          └─▶ claims ─┼─────▶ identity_claims
                          dead_letters                  counted         └─▶ told ─▶ signals ───┴──▶ conversation_signals
    every epoch:  session states touched ─▶ rows ─▶ sessions
                                         └▶ forget what was emitted ─▶ the states' changelog

in = enriched + duplicates + replayed + dead, for every chunk. What becomes of the claims and the
signals: `streams.identities.chain`, `streams.conversations.chain`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import polars as pl

from schemas.column_codec import ColumnCodec, Invalid
from schemas.outcomes import FactOutcome, Remark
from schemas.registry import SchemaIds
from streams.dead_letters import DeadLetters
from streams.events.bound_times import bound_times
from streams.events.claims import LoginEvents, PlaceholderIds, claims
from streams.events.decode import decode
from streams.events.deduplicate import Deduplicated, DedupRules, deduplicate
from streams.events.encode import encode_claims, encode_enriched
from streams.events.enrich import enrich
from streams.events.hot_keys import HotKeys
from streams.events.lookups import Lookups
from streams.events.signals import NoNumbers, Numbers, Signals, encode_signals, signals
from streams.events.whatsapp import told
from streams.runtime.operator import EpochEnd, Outputs, Reached, Records, States
from streams.sessions.chains import SessionRules, forget_emitted
from streams.sessions.conversions import ConversionEvents
from streams.sessions.fold import sessionize
from streams.sessions.rows import session_records
from streams.sessions.state import SessionState

GENERATION_SHIFT: Final = 48  # bits of a session's version that are the source offset


@dataclass(frozen=True, slots=True)
class Rules:
    """What may be set of the steps. ahead_ms: how far an event may be ahead of the broker's clock."""

    dedup: DedupRules
    sessions: SessionRules
    generation: int
    ahead_ms: int


class EventChain:
    """The operator of raw_events, over session states. `now_ms()` becomes processed_at."""

    name = "raw_events"
    table = "sessions"

    def __init__(
        self,
        topic: str,
        states: States[SessionState],
        rules: Rules,
        lookups: Lookups,
        conversions: ConversionEvents,
        ids: SchemaIds,
        now_ms: Callable[[], int],
        placeholders: PlaceholderIds | None = None,
        numbers: Numbers | None = None,
        logins: LoginEvents | None = None,
    ) -> None:
        self.topic = topic
        self._states = states
        self._rules = rules
        self._lookups = lookups
        self._conversions = conversions
        self._placeholders = placeholders or PlaceholderIds()
        self._numbers = numbers or NoNumbers()
        self._logins = logins or LoginEvents()
        self._now_ms = now_ms
        self._raw = ColumnCodec("raw_events", ids)
        self._enriched = ColumnCodec("enriched_events", ids)
        self._claims = ColumnCodec("identity_claims", ids)
        self._sessions = ColumnCodec("sessions", ids)
        self._signals = ColumnCodec("conversation_signals", ids)
        self._dead = DeadLetters(topic, rules.generation, ids, now_ms)
        self.hot_keys = HotKeys()

    def process(self, records: Records) -> Outputs:
        """Run a chunk through the steps."""
        outputs, rules, now_ms = Outputs(), self._rules, self._now_ms()
        frame, invalid = decode(records, self._raw)
        for bad in invalid:
            self._dead.add(outputs, records, bad)
        if frame.is_empty():
            return outputs
        frame, ahead = bound_times(frame, records.appended_ms, rules.ahead_ms)
        outputs.remark(Remark.CLOCK_AHEAD, ahead)
        kept = deduplicate(frame, self._states.state_of, rules.dedup)
        outputs.duplicates, outputs.replayed, outputs.kept = kept.duplicates, kept.replayed, len(kept.frame)
        outputs.remark(Remark.SEEN_IDS_FORGOTTEN, kept.forgotten)
        self.hot_keys.note(kept.keys, kept.counts)
        if outputs.kept:
            enriched = enrich(kept.frame, self._lookups)
            of_whatsapp = told(enriched)
            said = signals(of_whatsapp, self._numbers)
            enriched = self._sessionize(enriched, kept, said.without_session(of_whatsapp), outputs)
            outputs.sources = enriched["source_partition"].to_numpy(), enriched["source_offset"].to_numpy()
            outputs.add("enriched_events", encode_enriched(enriched, self._enriched, rules.generation, now_ms))
            found = claims(enriched, self._placeholders.by_project, of_whatsapp, self._logins.by_project)
            outputs.add("identity_claims", encode_claims(found, self._claims, rules.generation))
            self._add_signals(outputs, enriched, said)
        return outputs

    def _sessionize(
        self, frame: pl.DataFrame, kept: Deduplicated, left_out: list[int], outputs: Outputs
    ) -> pl.DataFrame:
        """The frame with `session_id`, '' for the rows that are left out: a receipt at night is no visit."""
        parts = kept.keys, kept.states, self._conversions.by_project, self._rules.sessions, outputs.remark
        if not left_out:
            return sessionize(frame, *parts)
        rows = pl.Series(sorted(set(range(len(frame))) - set(left_out)), dtype=pl.UInt32)
        session_ids = pl.Series("session_id", [""] * len(frame), dtype=pl.String)
        if len(rows):
            session_ids = session_ids.scatter(rows, sessionize(frame[rows], *parts)["session_id"])
        return frame.hstack([session_ids])

    def _add_signals(self, outputs: Outputs, frame: pl.DataFrame, said: Signals) -> None:
        """What the events say of conversations."""
        if said.found:
            records = encode_signals(frame, said.found, self._signals, self._rules.generation)
            outputs.add("conversation_signals", records)
        for _ in range(said.unnamed):
            outputs.fact("", FactOutcome.UNNAMED)

    def is_due(self) -> bool:
        """Nothing comes of time alone."""
        return False

    def end_epoch(self) -> EpochEnd:
        """A row of each touched session; then its state forgets what was emitted, and what no event can reach."""
        touched = list(self._states.touched())
        version = self._rules.generation << GENERATION_SHIFT
        outputs = Outputs()
        rows = session_records(touched, self._sessions, self._rules.sessions, version, outputs.remark)
        outputs.add("sessions", rows)
        for _, _, state in touched:
            forget_emitted(state, self._rules.sessions)
        changes = self._states.end_epoch()
        outputs.remark(Remark.STATE_CLIPPED, changes.clipped)
        return EpochEnd(outputs, changes)

    def dead_letters(self, records: Records, bad: Iterable[Invalid]) -> Outputs:
        """The dead letters of some of the records."""
        return self._dead.of(records, bad)

    def confirm(self, reached: Reached) -> None:
        self._states.confirm(reached)

    def rollback(self) -> None:
        self._states.rollback()
