"""Rows that the database refused, offered to it again in batches, as a batch of which nobody knows what became of it.

So each goes in once, however often it is tried and whatever is in the table: what is there is found by its source. A
row that is refused again stays the dead letter that it is.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import Final, NamedTuple

import numpy as np

from sinks.batching import watermark
from sinks.batching.batch import NO_SOURCES, BadRecord, Batch, Rows
from sinks.batching.filter import SchemaVerdict
from sinks.batching.headers import read_headers, read_lineage
from sinks.errors import TopicStoppedError
from sinks.replay.query import DeadLetter
from sinks.routes import Route
from sinks.write.delivery import AbandonedError, Delivery

_ROWS_MAX: Final = 1_000
_SPAN_MAX: Final = 1_000_000  # between first and last source of a batch: all sources there are asked of the table
_TRIES_MAX: Final = 5


class NoRowError(ValueError):
    """The dead letter is no record that could become a row."""


@dataclass(slots=True)
class Refusals:
    """Where a reinsertion's bad records go: the dead letters exist already, so nothing is written."""

    bad: list[BadRecord] = field(default_factory=list)

    def publish(self, partition: int, bad: Iterable[BadRecord]) -> None:
        """Remember them."""
        self.bad += bad


@dataclass(slots=True)
class Patience:
    """Told by a Delivery whether the database answers; gives up after some failures in a row.

    Views that fail are logged, and their rows are not waited for: the command ends.
    """

    abandoned: Event = field(default_factory=Event)
    _failures: int = 0

    def database(self, up: bool) -> None:
        """Whether the last batch was taken."""
        self._failures = 0 if up else self._failures + 1
        if self._failures >= _TRIES_MAX:
            self.abandoned.set()

    def stopped(self, error: TopicStoppedError | None) -> None:
        """What somebody must mend first is no reason to wait."""
        if error is not None:
            self.abandoned.set()

    def view_failed(self, view: str) -> None:
        """It is in the log."""

    def views_lack(self, rows: int) -> None:
        """They are in the log."""

    def views_given_up(self, rows: int) -> None:
        """They are in the log."""


@dataclass(frozen=True, slots=True)
class Target:
    """Into one table: `delivery` leaves in `refusals` what is refused again, and tells `patience`."""

    route: Route
    verdict: SchemaVerdict
    delivery: Delivery
    refusals: Refusals
    patience: Patience


class _Place(NamedTuple):
    """What the rows of a batch have in common."""

    topic: str
    partition: int
    schema_id: int
    generation: int


class Reinsertion:
    """`open_target`: the target by the broker's topic name, None for a topic that sinks do not write."""

    def __init__(self, open_target: Callable[[str], Target | None], clock: Callable[[], float]) -> None:
        self._open_target = open_target
        self._clock = clock
        self._targets: dict[str, Target] = {}
        self._waiting: dict[_Place, dict[int, DeadLetter]] = {}

    def add(self, dead_letter: DeadLetter) -> None:
        """Take one, to be sent by `finish`. Raises NoRowError."""
        place, source = self._read(dead_letter)
        # Of repeats of one source, one: nothing but this keeps rows of the same batch apart.
        self._waiting.setdefault(place, {}).setdefault(source, dead_letter)

    def finish(self) -> dict[str, str]:
        """Send what was added; what is wrong with those that did not become rows, by their ids."""
        problems: dict[str, str] = {}
        for place, dead_letters in self._waiting.items():
            for sources in _batches(sorted(dead_letters), by_source=self._targets[place.topic].route.exactly_once):
                problems |= self._send(place, sources, [dead_letters[source] for source in sources])
        self._waiting = {}
        return problems

    def _read(self, dead_letter: DeadLetter) -> tuple[_Place, int]:
        topic, partition, value = dead_letter["source_topic"], dead_letter["source_partition"], dead_letter["payload"]
        target = self._targets.get(topic) or self._open_target(topic)
        if target is None:
            raise NoRowError(f"came from {topic!r}, which is no topic that sinks write")
        self._targets[topic] = target
        headers = read_lineage([value], partition) if target.route.exactly_once else read_headers([value])
        schema_id = int(headers.schema_ids[0])
        try:
            problem = target.verdict(schema_id)
        except TopicStoppedError as error:
            raise NoRowError(f"dead letter {dead_letter['dead_letter_id']}: {error.detail}") from None
        if problem is not None:
            raise NoRowError(f"is no row: {problem[1]}")
        if headers.sources is None or headers.plausible is None:
            return _Place(topic, partition, schema_id, 0), dead_letter["source_offset"]
        if not headers.plausible[0]:
            raise NoRowError("does not begin with its place in raw_events")
        source = int(headers.sources[0])
        return _Place(topic, partition, schema_id, watermark.generation_of(source)), source

    def _send(self, place: _Place, sources: Sequence[int], dead_letters: Sequence[DeadLetter]) -> dict[str, str]:
        target = self._targets[place.topic]
        target.refusals.bad.clear()
        batch = _batch(place, sources if target.route.exactly_once else (), dead_letters)
        try:
            target.delivery.deliver(batch, self._clock(), target.patience.abandoned)
        except AbandonedError:
            ids = [str(dead_letter["dead_letter_id"]) for dead_letter in dead_letters]
            return dict.fromkeys(ids, "is not taken by the database")
        of = {dead_letter["source_offset"]: str(dead_letter["dead_letter_id"]) for dead_letter in dead_letters}
        return {of[bad.offset]: f"is refused again: {bad.detail}" for bad in target.refusals.bad}


def _batches(sources: Sequence[int], by_source: bool) -> Iterator[Sequence[int]]:
    """Pieces of the rising numbers, no longer than a batch may be; nor wider, when they are sources."""
    start = 0
    for index, source in enumerate(sources):
        if index - start >= _ROWS_MAX or (by_source and source - sources[start] > _SPAN_MAX):
            yield sources[start:index]
            start = index
    if sources:
        yield sources[start:]


def _batch(place: _Place, sources: Sequence[int], dead_letters: Sequence[DeadLetter]) -> Batch:
    offsets = [dead_letter["source_offset"] for dead_letter in dead_letters]
    values = [dead_letter["payload"] for dead_letter in dead_letters]
    keys = [dead_letter["source_key"].encode() or None for dead_letter in dead_letters]
    packed = np.array(sources, dtype=np.int64) if sources else NO_SOURCES
    digest = hashlib.blake2b(",".join(map(str, offsets)).encode(), digest_size=12).hexdigest()
    return Batch(
        # Its token must be none of a batch that was written, which could have the same bounds and other rows.
        topic=f"replay-{digest}/{place.topic}",
        partition=place.partition,
        start=min(offsets),
        end=max(offsets) + 1,
        watermark=watermark.NONE,
        watermark_after=watermark.NONE,
        rows=Rows(place.schema_id, offsets, values, keys, packed),
        bad=(),
        replayed=0,
        empty=0,
        size=sum(map(len, values)),
        opened_at=0.0,
        doubtful=True,
    )
