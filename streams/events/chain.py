"""raw_events, whole: the steps of every chunk, and what each epoch leaves. Pure.

    every chunk:  records ─▶ decode ─▶ bound times ─▶ deduplicate ─▶ enrich ─▶ sessionize ─▶ encode ─▶ enriched_events
                               │                           │                       │           ▲
                               ▼                           ▼                       └─▶ claims ─┴─────▶ identity_claims
                          dead_letters                  counted
    every epoch:  session states touched ─▶ rows ─▶ sessions
                                         └▶ forget what was emitted ─▶ the states' changelog

in = enriched + duplicates + replayed + dead, for every chunk. What becomes of the claims: `streams.identities.chain`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from schemas.column_codec import ColumnCodec, Invalid
from schemas.outcomes import Remark
from schemas.registry import SchemaIds
from streams.dead_letters import DeadLetters
from streams.events.bound_times import bound_times
from streams.events.claims import PlaceholderIds, claims
from streams.events.decode import decode
from streams.events.deduplicate import DedupRules, deduplicate
from streams.events.encode import encode_claims, encode_enriched
from streams.events.enrich import enrich
from streams.events.hot_keys import HotKeys
from streams.events.lookups import Lookups
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
    ) -> None:
        self.topic = topic
        self._states = states
        self._rules = rules
        self._lookups = lookups
        self._conversions = conversions
        self._placeholders = placeholders or PlaceholderIds()
        self._now_ms = now_ms
        self._raw = ColumnCodec("raw_events", ids)
        self._enriched = ColumnCodec("enriched_events", ids)
        self._claims = ColumnCodec("identity_claims", ids)
        self._sessions = ColumnCodec("sessions", ids)
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
            conversions = self._conversions.by_project
            enriched = sessionize(enriched, kept.keys, kept.states, conversions, rules.sessions, outputs.remark)
            outputs.sources = enriched["source_partition"].to_numpy(), enriched["source_offset"].to_numpy()
            outputs.add("enriched_events", encode_enriched(enriched, self._enriched, rules.generation, now_ms))
            found = claims(enriched, self._placeholders.by_project, told(enriched))
            outputs.add("identity_claims", encode_claims(found, self._claims, rules.generation))
        return outputs

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
