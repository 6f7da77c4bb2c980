"""The chain, pure: records of raw_events in, outputs and changed states out.

    records ─▶ decode ─▶ deduplicate ─▶ enrich ─▶ sessionize ─▶ stitch ─▶ enriched_events, identity_claims
                 │            │                        │
                 ▼            ▼                        ▼ (once an epoch)
            dead_letters   counted                  sessions

in = enriched + duplicates + replayed + dead, for every chunk.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import polars as pl
import pyarrow as pa

from schemas.codec import Codec, Invalid
from schemas.outcomes import DeadReason, DropReason, Outcome
from schemas.registry import SchemaIds
from streams.dead_letters import dead_letter, owner
from streams.state import MOMENT_BITS, SessionRules, SessionState, Slice
from streams.steps.decode import Records, decode
from streams.steps.deduplicate import DedupRules, deduplicate
from streams.lookups import Lookups
from streams.steps.enrich import enrich
from streams.steps.sessionize import sessionize, sessions, tombstones
from streams.steps.stitch import claims

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
        self._raw = Codec("raw_events", ids)
        self._enriched = Codec("enriched_events", ids)
        self._claims = Codec("identity_claims", ids)
        self._sessions = Codec("sessions", ids)
        self._dead = Codec("dead_letters", ids)

    def process(
        self, records: Records, state_of: StateOf, conversions: Mapping[str, frozenset[str]], now_ms: int
    ) -> Outputs:
        """Run a chunk through the steps. `state_of` gives states to be changed; `now_ms` becomes processed_at."""
        outputs = Outputs()
        frame, invalid = decode(records, self._raw)
        self._bury(outputs, records, invalid, now_ms)
        kept = deduplicate(frame, state_of, self.rules.dedup)
        outputs.duplicates, outputs.replayed, outputs.kept = kept.duplicates, kept.replayed, len(kept.frame)
        if outputs.kept:
            enriched = enrich(kept.frame, self._lookups)
            enriched = sessionize(enriched, state_of, conversions, self.rules.sessions)
            outputs.add("enriched_events", self._encode_enriched(enriched, now_ms))
            outputs.add("identity_claims", self._encode_claims(claims(enriched)))
        return outputs

    def _encode_enriched(self, frame: pl.DataFrame, now_ms: int) -> Iterable[Outgoing]:
        frame = frame.with_columns(
            source_generation=pl.lit(self.rules.generation, dtype=pl.Int32),
            processed_at=pl.lit(now_ms, dtype=pl.Int64).cast(pl.Datetime("ms")),
        )
        values = self._enriched.encode_columns(to_arrow(frame, self._enriched.arrow_schema))
        partitions, keys = frame["source_partition"].to_list(), frame["key"].to_list()
        return (
            {"value": value, "key": key, "partition": partition}
            for value, key, partition in zip(values, keys, partitions, strict=True)
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
            key = f"{letter['tenant_id']}/{letter['project_id']}".encode()
            outputs.add("dead_letters", [{"value": self._dead.encode(letter), "key": key}])
            outputs.dead[bad.reason] = outputs.dead.get(bad.reason, 0) + 1

    def session_records(self, states: Iterable[tuple[int, bytes, SessionState]]) -> list[Outgoing]:
        """One record for each session the epoch touched, and a tombstone for each that ceased to be."""
        rows: list[_Row] = []
        for _, key, state in states:
            tenant_id, project_id = owner(key)
            for session_id in tombstones(state):
                rows.append(_Row(tenant_id, project_id, state, _ceased(session_id, state), is_deleted=True))
            rows += (_Row(tenant_id, project_id, state, whole, False) for whole in sessions(state, self.rules.sessions))
        if not rows:
            return []
        values = self._sessions.encode_columns(self._session_batch(rows))
        keys = [f"{row.tenant_id}/{row.session.session_id}" for row in rows]
        return [{"value": value, "key": key} for value, key in zip(values, keys, strict=True)]

    def _session_batch(self, rows: list["_Row"]) -> pa.RecordBatch:
        slices = [row.session for row in rows]
        started = [piece.first_at >> MOMENT_BITS for piece in slices]
        ended = [piece.last_at >> MOMENT_BITS for piece in slices]
        version = self.rules.generation << GENERATION_SHIFT
        columns: dict[str, list[Any]] = {
            "session_id": [piece.session_id for piece in slices],
            "tenant_id": [row.tenant_id for row in rows],
            "anonymous_id": [piece.anonymous_id for piece in slices],
            "user_id": [piece.user_id for piece in slices],
            "started_at": started,
            "ended_at": ended,
            "duration_seconds": [(end - start) // 1000 for start, end in zip(started, ended, strict=True)],
            "event_count": [piece.events for piece in slices],
            "page_count": [piece.pages for piece in slices],
            "entry_page": [piece.entry_page for piece in slices],
            "referrer": [piece.referrer for piece in slices],
            "utm_source": [piece.utm_source for piece in slices],
            "utm_medium": [piece.utm_medium for piece in slices],
            "utm_campaign": [piece.utm_campaign for piece in slices],
            "device_type": [piece.device_type for piece in slices],
            "country_code": [piece.country_code for piece in slices],
            "converted": [piece.conversion_at > 0 for piece in slices],
            "conversion_event": [piece.conversion_event for piece in slices],
            "version": [version | row.state.applied for row in rows],
            "is_deleted": [row.is_deleted for row in rows],
            "project_id": [row.project_id for row in rows],
            "exit_page": [piece.exit_page for piece in slices],
            "channel_type": [piece.channel_type for piece in slices],
            "is_bot": [piece.bots > 0 for piece in slices],
        }
        schema = self._sessions.arrow_schema
        return pa.RecordBatch.from_arrays(
            [pa.array(columns[column.name], type=column.type) for column in schema], schema=schema
        )


class _Row(NamedTuple):
    tenant_id: str
    project_id: str
    state: SessionState
    session: Slice
    is_deleted: bool


def _ceased(session_id: str, state: SessionState) -> Slice:
    """A session that is no more. Its times are recent: the table's TTL must not drop the tombstone before the session."""
    at = state.touched_ms << MOMENT_BITS
    return Slice(
        cell=0, first_at=at, last_at=at, events=0, pages=0, bots=0, referrer="", utm_source=None, utm_medium=None,
        utm_campaign=None, device_type="", country_code="", channel_type="", anonymous_id="", entry_at=0, entry_page="",
        exit_at=0, exit_page="", conversion_at=0, conversion_event=None, user_at=0, user_id=None, session_id=session_id,
    )  # fmt: skip


def to_arrow(frame: pl.DataFrame, schema: pa.Schema) -> pa.RecordBatch:
    """The frame's columns that the schema names, in its order and types."""
    table = frame.select(schema.names).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema)
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema)
