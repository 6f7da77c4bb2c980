"""What the ledger reads of ClickHouse: which source offsets have a row, which a dead letter.

A dead letter of streams names its place in raw_events. One of the sink names its place in enriched_events, since that
is where it was read; the place in raw_events are the first fields of its bytes, which are read here, in the database.
Where these are unreadable, nobody can say which raw event it was, and the ledger calls that event lost.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import numpy as np
from clickhouse_driver import Client

from schemas.settings import Settings
from sinks.ledger import NO_OFFSETS, Offsets, RawEvent, Stored

_IDS_MAX: Final = 5_000  # message ids asked for at once
_SPAN: Final = "source_offset >= %(start)s AND source_offset < %(end)s"
_ROWS: Final = f"FROM events WHERE {_SPAN} AND source_partition = %(partition)s AND source_generation = %(generation)s"
# The varints after the 5 bytes of framing: offset, partition, generation, each doubled by Avro's zig-zag.
_HEAD: Final = "arrayMap(i -> reinterpretAsUInt8(substring(payload, i, 1)), range(6, 36)) AS head"
_ENDS: Final = "arrayFilter(i -> head[i] < 128, range(1, 31)) AS ends"
_BEFORE: Final = "if(k = 1, 0, ends[k - 1])"  # where the varint before the k-th ends
_LINEAGE: Final = (
    f"arrayMap(k -> arraySum(i -> bitShiftLeft(toUInt64(bitAnd(head[i], 127)), 7 * (i - {_BEFORE} - 1)), "
    f"range({_BEFORE} + 1, ends[k] + 1)), [1, 2, 3]) AS lineage"
)
_SHOWN: Final = "project_id, stage, reason, detail, first_seen_at, dead_letter_id"
_LETTERS: Final = (
    f"(SELECT {_SHOWN}, source_offset AS raw_offset FROM dead_letters WHERE stage = 'streams' "
    f"AND source_topic = %(raw)s AND source_partition = %(partition)s UNION ALL "
    f"SELECT {_SHOWN}, toInt64(intDiv(lineage[1], 2)) AS raw_offset "
    f"FROM (SELECT {_SHOWN}, {_HEAD}, {_ENDS}, {_LINEAGE} FROM dead_letters WHERE stage = 'sinks' "
    "AND source_topic = %(enriched)s AND source_partition = %(partition)s) "
    "WHERE bitAnd(lineage[1], 1) = 0 AND lineage[2] = 2 * %(partition)s AND lineage[3] = 2 * %(generation)s)"
)
_DEAD_SPAN: Final = "raw_offset >= %(start)s AND raw_offset < %(end)s"
# event_id and message_id follow the lineage; of other UUIDs within these bytes none is asked for.
_IDS_OF_LETTERS: Final = (
    "SELECT project_id, arrayIntersect(extractAll(substring(payload, 6, 140), "
    "'[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'), %(ids)s) AS found FROM dead_letters "
    "WHERE stage = 'sinks' AND source_topic = %(enriched)s AND notEmpty(found)"
)


class Death(NamedTuple):
    """A dead letter and the offset of the raw event that it is of."""

    project_id: str
    stage: str
    reason: str
    detail: str
    first_seen_at: datetime
    dead_letter_id: str
    raw_offset: int


class Tables:
    """Reads the lineage columns and the dead letters."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._own = {
            "generation": settings.streams_generation,
            "raw": settings.topic("raw_events"),
            "enriched": settings.topic("enriched_events"),
        }

    def stored(self, partition: int, start: int, end: int) -> Stored:
        """What stands of the source offsets [start, end) of a partition."""
        where = self._span(partition, start, end)
        rows, counts = self._offsets(f"SELECT source_offset, count() {_ROWS} GROUP BY 1 ORDER BY 1", where)
        dead, _ = self._offsets(
            f"SELECT raw_offset, count() FROM {_LETTERS} WHERE {_DEAD_SPAN} GROUP BY 1 ORDER BY 1", where
        )
        return Stored(rows, rows[counts > 1], dead)

    def kept(self, events: Sequence[RawEvent]) -> set[tuple[str, str]]:
        """Which (project_id, message_id) of these events have a row, or a dead letter of the sink."""
        found: set[tuple[str, str]] = set()
        ids = sorted({event.message_id for event in events})
        for start in range(0, len(ids), _IDS_MAX):
            some = ids[start : start + _IDS_MAX]
            query = "SELECT DISTINCT project_id, toString(message_id) FROM events WHERE message_id IN %(ids)s"
            having = set(self._client.execute(query, {"ids": tuple(some)}))
            found |= having
            left = sorted(set(some) - {message_id for _, message_id in having})
            if left:
                rows = self._client.execute(_IDS_OF_LETTERS, self._own | {"ids": left})
                found.update((project_id, message_id) for project_id, ids_found in rows for message_id in ids_found)
        return found

    def by_project(self, partition: int, start: int, end: int) -> list[tuple[str, str, int]]:
        """Outcome (stored or dead), project id and number of the source offsets [start, end) of a partition."""
        rows: list[tuple[str, str, int]] = self._client.execute(
            f"SELECT 'stored', project_id, uniqExact(source_offset) {_ROWS} GROUP BY project_id UNION ALL "
            f"SELECT 'dead', project_id, uniqExact(raw_offset) FROM {_LETTERS} WHERE {_DEAD_SPAN} "
            # One that was sent through again is a row by now.
            f"AND raw_offset NOT IN (SELECT toInt64(source_offset) {_ROWS}) GROUP BY project_id",
            self._span(partition, start, end),
        )
        return rows

    def deaths(self, partition: int, offsets: Sequence[int]) -> Iterator[Death]:
        """The dead letters of the raw events at these offsets."""
        if not offsets:
            return
        where = self._span(partition, min(offsets), max(offsets) + 1) | {"offsets": tuple(offsets)}
        rows = self._client.execute(
            f"SELECT {_SHOWN}, raw_offset FROM {_LETTERS} WHERE {_DEAD_SPAN} AND raw_offset IN %(offsets)s "
            "ORDER BY raw_offset LIMIT 1 BY dead_letter_id",
            where,
        )
        for project_id, stage, reason, detail, seen, dead_letter_id, raw_offset in rows:
            yield Death(project_id, stage, reason, detail, seen, str(dead_letter_id), raw_offset)

    def refused(self, since_ms: int) -> list[tuple[str, int]]:
        """Project id and number of the dead letters of the collector since a time (ms since 1970)."""
        rows: list[tuple[str, int]] = self._client.execute(
            "SELECT project_id, uniqExact(dead_letter_id) FROM dead_letters WHERE stage = 'collector' "
            "AND first_seen_at >= fromUnixTimestamp64Milli(toInt64(%(since)s)) GROUP BY project_id",
            {"since": since_ms},
        )
        return rows

    def _span(self, partition: int, start: int, end: int) -> dict[str, Any]:
        return self._own | {"partition": partition, "start": start, "end": end}

    def _offsets(self, query: str, where: dict[str, Any]) -> tuple[Offsets, Offsets]:
        columns = self._client.execute(query, where, columnar=True)
        if not columns:
            return NO_OFFSETS, NO_OFFSETS
        return np.asarray(columns[0], dtype=np.int64), np.asarray(columns[1], dtype=np.int64)
