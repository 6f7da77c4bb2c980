"""What the ledger reads of ClickHouse: which source offsets have a row, which a dead letter.

A dead letter of streams names its place in raw_events. One of the sink names its place in enriched_events, since that
is where it was read; the place in raw_events are the first fields of its bytes, which are read here, in the database.
Where these are unreadable, nobody can say which raw event it was, and the ledger calls that event lost.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from schemas.message_ids import CANONICAL_UUID
from schemas.settings import Settings
from sinks.clickhouse.client import Client
from sinks.ledger.account import NO_OFFSETS, Offsets, RawEvent, Stored
from sinks.ledger.evidence import DeadEvent
from sinks.ledger.outcomes import LedgerOutcome

_IDS_MAX: Final = 5_000  # message ids asked for at once
_SPAN: Final = "source_offset >= %(start)s AND source_offset < %(end)s"
_ROWS: Final = f"FROM events WHERE {_SPAN} AND source_partition = %(partition)s AND source_generation = %(generation)s"
_SHOWN: Final = "project_id, stage, reason, detail, toString(dead_letter_id), raw_offset"
# The places of raw_events whose event became a dead letter: those that stand there now, and those that were sent
# through again from there, of which the dead letter may stand at another place since.
_DEAD: Final = (
    "FROM (SELECT project_id, stage, reason, detail, dead_letter_id, raw_offset FROM dead_letters "
    "WHERE source_partition = %(partition)s AND raw_offset >= %(start)s AND raw_offset < %(end)s "
    "AND ((stage = 'streams' AND source_topic = %(raw)s) "
    "OR (stage = 'sinks' AND source_topic = %(enriched)s AND raw_generation = %(generation)s)) UNION ALL "
    "SELECT project_id, stage, reason, 'sent through again since', dead_letter_id, source_offset "
    "FROM dead_letter_replays WHERE stage = 'streams' AND source_topic = %(raw)s "
    "AND source_partition = %(partition)s AND source_offset >= %(start)s AND source_offset < %(end)s)"
)
# By default ClickHouse looks positions up only in tables of a million rows and more.
_BY_INDEX: Final = {"min_table_rows_to_use_projection_index": 0}
# event_id and message_id follow the lineage; of other UUIDs within these bytes none is asked for.
_IDS_OF_DEAD_LETTERS: Final = (
    "SELECT project_id, arrayIntersect(extractAll(substring(payload, 6, 140), "
    f"'{CANONICAL_UUID}'), %(ids)s) AS found FROM dead_letters "
    "WHERE stage = 'sinks' AND source_topic = %(enriched)s AND notEmpty(found)"
)


class LedgerTables:
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
        dead, _ = self._offsets(f"SELECT raw_offset, count() {_DEAD} GROUP BY 1 ORDER BY 1", where)
        return Stored(rows, rows[counts > 1], dead)

    def kept(self, events: Sequence[RawEvent]) -> set[tuple[str, str]]:
        """Which (project_id, message_id) of these events have a row, or a dead letter of the sink."""
        found: set[tuple[str, str]] = set()
        ids = sorted({event.message_id for event in events})
        for start in range(0, len(ids), _IDS_MAX):
            some = ids[start : start + _IDS_MAX]
            query = "SELECT DISTINCT project_id, toString(message_id) FROM events WHERE message_id IN %(ids)s"
            having = {
                (project_id, message_id) for project_id, message_id in self._client.execute(query, {"ids": tuple(some)})
            }
            found |= having
            left = sorted(set(some) - {message_id for _, message_id in having})
            if left:
                rows = self._client.execute(_IDS_OF_DEAD_LETTERS, self._own | {"ids": left})
                found.update((project_id, message_id) for project_id, ids_found in rows for message_id in ids_found)
        return found

    def by_project(self, partition: int, start: int, end: int) -> list[tuple[str, str, int]]:
        """Outcome (stored or dead), project id and number of the source offsets [start, end) of a partition."""
        rows = self._client.execute(
            f"SELECT '{LedgerOutcome.STORED}', project_id, uniqExact(source_offset) {_ROWS} GROUP BY project_id "
            f"UNION ALL SELECT '{LedgerOutcome.DEAD}', project_id, uniqExact(raw_offset) {_DEAD} "
            # One that was sent through again is a row by now.
            f"WHERE raw_offset NOT IN (SELECT toInt64(source_offset) {_ROWS}) GROUP BY project_id",
            self._span(partition, start, end),
        )
        return [(outcome, project_id, events) for outcome, project_id, events in rows]

    def dead_events(self, partition: int, offsets: Sequence[int]) -> Iterator[DeadEvent]:
        """The dead letters of the raw events at these offsets."""
        if not offsets:
            return
        where = self._span(partition, min(offsets), max(offsets) + 1) | {"offsets": tuple(offsets)}
        rows = self._client.execute(
            f"SELECT {_SHOWN} {_DEAD} WHERE raw_offset IN %(offsets)s ORDER BY raw_offset LIMIT 1 BY dead_letter_id",
            where,
            settings=_BY_INDEX,
        )
        yield from (DeadEvent(*row) for row in rows)

    def refused(self, since_ms: int) -> list[tuple[str, int]]:
        """Project id and number of the dead letters of the collector since a time (ms since 1970)."""
        rows = self._client.execute(
            "SELECT project_id, uniqExact(dead_letter_id) FROM dead_letters WHERE stage = 'collector' "
            "AND first_seen_at >= fromUnixTimestamp64Milli(toInt64(%(since)s)) GROUP BY project_id",
            {"since": since_ms},
        )
        return [(project_id, events) for project_id, events in rows]

    def project_names(self) -> dict[str, str]:
        """The name of each project, by its id."""
        query = "SELECT toString(project_id), any(name) FROM projects FINAL GROUP BY 1"
        return dict(self._client.execute(query))

    def _span(self, partition: int, start: int, end: int) -> dict[str, Any]:
        return self._own | {"partition": partition, "start": start, "end": end}

    def _offsets(self, query: str, where: dict[str, Any]) -> tuple[Offsets, Offsets]:
        columns = self._client.execute(query, where, columnar=True)
        if not columns:
            return NO_OFFSETS, NO_OFFSETS
        return np.asarray(columns[0], dtype=np.int64), np.asarray(columns[1], dtype=np.int64)
