"""The chain, pure: records of raw_events in, outputs and changed states out.

    records ─▶ decode ─▶ deduplicate ─▶ enrich ─▶ sessionize ─▶ stitch ─▶ enriched_events, identity_claims
                 │            │                        │
                 ▼            ▼                        ▼ (once an epoch)
            dead_letters   counted                  sessions

in = enriched + duplicates + replayed + dead, for every chunk.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl
import pyarrow as pa

from schemas import keys
from schemas.codec import Codec
from schemas.column_codec import ColumnCodec, Invalid
from schemas.outcomes import DeadReason, DropReason, Outcome
from schemas.registry import SchemaIds
from streams.dead_letters import dead_letter
from streams.events.claims import claims
from streams.events.decode import Records, decode
from streams.events.deduplicate import DedupRules, deduplicate
from streams.events.enrich import enrich
from streams.events.lookups import Lookups
from streams.sessions.fold import sessionize
from streams.sessions.rows import SessionRows
from streams.sessions.state import SessionRules, SessionState

GENERATION_SHIFT: Final = 48  # bits of a session's version that are the source offset
Outgoing = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator may set."""

    dedup: DedupRules
    sessions: SessionRules
    generation: int
    source_topic: str


@dataclass(slots=True)
class Outputs:
    """Records for each topic, by the names of `schemas.topics`, and what became of the records that came in."""

    records: dict[str, list[Outgoing]] = field(default_factory=dict)
    kept: int = 0
    duplicates: int = 0
    replayed: int = 0
    dead: dict[str, int] = field(default_factory=dict)

    def counts(self) -> Iterator[tuple[Outcome, str, int]]:
        """Outcome, reason and number of records that had it."""
        yield Outcome.KEEP, "", self.kept
        yield Outcome.DROP, DropReason.DUPLICATE, self.duplicates
        yield Outcome.DROP, DropReason.REPLAYED, self.replayed
        for reason, count in self.dead.items():
            yield Outcome.DEAD, reason, count

    def add(self, topic: str, records: Iterable[Outgoing]) -> None:
        """Append records of a topic."""
        self.records.setdefault(topic, []).extend(records)


StateOf = Callable[[int, bytes], SessionState]


class Pipeline:
    """The five steps with their rules, lookups and codecs; holds no state of its own."""

    def __init__(self, rules: Rules, lookups: Lookups, ids: SchemaIds) -> None:
        self.rules = rules
        self._lookups = lookups
        self._raw = ColumnCodec("raw_events", ids)
        self._enriched = ColumnCodec("enriched_events", ids)
        self._claims = ColumnCodec("identity_claims", ids)
        self._sessions = ColumnCodec("sessions", ids)
        self._dead = Codec("dead_letters", ids)

    def process(
        self, records: Records, state_of: StateOf, conversions: Mapping[str, frozenset[str]], now_ms: int
    ) -> Outputs:
        """Run a chunk through the steps. `state_of` gives states to be changed; `now_ms` becomes processed_at."""
        outputs = Outputs()
        frame, invalid = decode(records, self._raw)
        self._bury(outputs, records, invalid, now_ms)
        if frame.is_empty():
            return outputs
        kept = deduplicate(frame, state_of, self.rules.dedup)
        outputs.duplicates, outputs.replayed, outputs.kept = kept.duplicates, kept.replayed, len(kept.frame)
        if outputs.kept:
            enriched = enrich(kept.frame, self._lookups)
            enriched = sessionize(enriched, kept.keys, kept.states, conversions, self.rules.sessions)
            outputs.add("enriched_events", self._encode_enriched(enriched, now_ms))
            outputs.add("identity_claims", self._encode_claims(claims(enriched)))
        return outputs

    def _encode_enriched(self, frame: pl.DataFrame, now_ms: int) -> Iterable[Outgoing]:
        frame = frame.with_columns(
            source_generation=pl.lit(self.rules.generation, dtype=pl.Int32),
            processed_at=pl.lit(now_ms, dtype=pl.Int64).cast(pl.Datetime("ms")),
        )
        values = self._enriched.encode_columns(to_arrow(frame, self._enriched.arrow_schema))
        partitions, own_keys = frame["source_partition"].to_list(), frame["key"].to_list()
        return (
            {"value": value, "key": key, "partition": partition}
            for value, key, partition in zip(values, own_keys, partitions, strict=True)
        )

    def _encode_claims(self, frame: pl.DataFrame) -> Iterable[Outgoing]:
        if frame.is_empty():
            return ()
        frame = frame.with_columns(source_generation=pl.lit(self.rules.generation, dtype=pl.Int32))
        values = self._claims.encode_columns(to_arrow(frame, self._claims.arrow_schema))
        return ({"value": value, "key": key} for value, key in zip(values, frame["key"].to_list(), strict=True))

    def bury(self, records: Records, detail: str, now_ms: int) -> Outputs:
        """Dead letters for records on which a step failed."""
        outputs = Outputs()
        invalid = [Invalid(index, DeadReason.STEP_FAILED, detail) for index in range(len(records))]
        self._bury(outputs, records, invalid, now_ms)
        return outputs

    def _bury(self, outputs: Outputs, records: Records, invalid: list[Invalid], now_ms: int) -> None:
        """Dead letters for what could not go on."""
        for bad in invalid:
            letter = dead_letter(records, bad, self.rules.source_topic, self.rules.generation, now_ms)
            key = keys.of_dead_letter(letter["tenant_id"], letter["project_id"])
            outputs.add("dead_letters", [{"value": self._dead.encode(letter), "key": key}])
            outputs.dead[bad.reason] = outputs.dead.get(bad.reason, 0) + 1

    def session_records(self, states: Iterable[tuple[int, bytes, SessionState]]) -> list[Outgoing]:
        """One record for each session the epoch touched, and a tombstone for each that ceased to be."""
        rows = SessionRows()
        for _, key, state in states:
            rows.add(key, state, self.rules.sessions)
        if not rows.sessions:
            return []
        schema = self._sessions.arrow_schema
        columns = rows.columns(self.rules.generation << GENERATION_SHIFT)
        batch = pa.RecordBatch.from_arrays(
            [pa.array(columns[field.name], field.type) for field in schema], schema=schema
        )
        values = self._sessions.encode_columns(batch)
        named = map(keys.of_session, columns["tenant_id"], columns["session_id"])
        return [{"value": value, "key": key} for value, key in zip(values, named, strict=True)]


def to_arrow(frame: pl.DataFrame, schema: pa.Schema) -> pa.RecordBatch:
    """The frame's columns that the schema names, in its order and types."""
    table = frame.select(schema.names).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema)
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema)
