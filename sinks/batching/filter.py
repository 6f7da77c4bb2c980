"""What of a fetch goes on: repeats are dropped, records that cannot become rows are set aside."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.outcomes import DeadReason
from sinks.batching import watermark
from sinks.batching.batch import NO_SOURCES, NO_TIMESTAMPS, BadRecord, Timestamps
from sinks.batching.headers import NO_SCHEMA, Headers, read_headers, read_lineage
from sinks.batching.watermark import Sources
from sinks.errors import TopicStoppedError

# What is wrong with a schema id, None when nothing is. Raises TopicStoppedError when that cannot be told yet.
SchemaVerdict = Callable[[int], tuple[DeadReason, str] | None]


class PendingError(Exception):
    """What is to become of the record at `index` cannot be told yet; those before it are as they are.

    timestamp: Kafka's of that record, 0 when it has none.
    """

    def __init__(self, index: int, stopped: TopicStoppedError, timestamp: int) -> None:
        self.index = index
        self.stopped = stopped
        self.timestamp = timestamp
        super().__init__(str(stopped))


@dataclass(frozen=True, slots=True)
class Filtered:
    """`kept`: for each record whether it is a row; `tags` equal where rows may share a batch."""

    kept: npt.NDArray[np.bool_]
    schema_ids: npt.NDArray[np.int64]
    sources: Sources
    bad: list[BadRecord]
    replayed: int
    empty: int

    @property
    def tags(self) -> npt.NDArray[np.int64]:
        """Schema id and generation of each record in one number."""
        if not len(self.sources):
            return self.schema_ids
        tags: npt.NDArray[Any] = self.schema_ids << 15 | self.sources >> watermark.OFFSET_BITS
        return tags


class RecordFilter:
    """Looks at the headers of one partition's records."""

    def __init__(self, partition: int, exactly_once: bool, verdict: SchemaVerdict) -> None:
        self._partition = partition
        self._exactly_once = exactly_once
        self._verdict = verdict
        self._known: set[int] = set()

    def apply(
        self,
        offsets: Sequence[int],
        values: Sequence[bytes | None],
        keys: Sequence[bytes | None],
        mark: int,
        timestamps: Timestamps = NO_TIMESTAMPS,
    ) -> Filtered:
        """Sort the records; `mark` is the watermark before them. Raises PendingError."""
        gaps = None in values
        present: Sequence[bytes] = [value or b"" for value in values] if gaps else values  # type: ignore[assignment]
        headers = read_lineage(present, self._partition) if self._exactly_once else read_headers(present)
        good, bad = self._judge(offsets, values, present, keys, headers, timestamps)
        if headers.sources is None:
            tombstones = sum(value is None for value in values) if gaps else 0
            return Filtered(good, headers.schema_ids, NO_SOURCES, bad, 0, tombstones)
        sources = headers.sources if good.all() else np.where(good, headers.sources, watermark.NONE)
        kept = watermark.fresh(sources, mark)
        return Filtered(kept, headers.schema_ids, sources, bad, int(good.sum() - kept.sum()), 0)

    def _judge(
        self,
        offsets: Sequence[int],
        values: Sequence[bytes | None],
        present: Sequence[bytes],
        keys: Sequence[bytes | None],
        headers: Headers,
        timestamps: Timestamps,
    ) -> tuple[npt.NDArray[np.bool_], list[BadRecord]]:
        good = np.ones(len(values), np.bool_)
        wrong = self._wrong(headers, timestamps)
        bad = []
        for index, (reason, detail) in sorted(wrong.items()):
            good[index] = False
            if values[index] is not None or self._exactly_once:
                timestamp = int(timestamps[index]) if len(timestamps) else 0
                bad.append(BadRecord(offsets[index], present[index], keys[index], reason, detail, timestamp))
        return good, bad

    def _wrong(self, headers: Headers, timestamps: Timestamps) -> dict[int, tuple[DeadReason, str]]:
        """By index, the records that cannot become rows."""
        wrong: dict[int, tuple[DeadReason, str]] = {}
        ids = headers.schema_ids
        first = int(ids[0])
        if first not in self._known or not (ids == first).all():
            for schema_id in set(np.unique(ids).tolist()) - self._known:
                try:
                    problem = self._problem(schema_id)
                except TopicStoppedError as error:
                    index = int(np.argmax(ids == schema_id))
                    raise PendingError(index, error, int(timestamps[index]) if len(timestamps) else 0) from None
                if problem is None:
                    self._known.add(schema_id)
                    continue
                for index in np.flatnonzero(ids == schema_id).tolist():
                    wrong[index] = problem
        if headers.plausible is not None and not headers.plausible.all():
            detail = f"its first fields are no source in partition {self._partition}"
            for index in np.flatnonzero(~headers.plausible).tolist():
                wrong.setdefault(index, (DeadReason.FIELD_INVALID, detail))
        return wrong

    def _problem(self, schema_id: int) -> tuple[DeadReason, str] | None:
        if schema_id == NO_SCHEMA:
            return DeadReason.NOT_AVRO, "the record does not begin with a schema id"
        return self._verdict(schema_id)
