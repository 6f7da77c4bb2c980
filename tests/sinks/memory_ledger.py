"""One partition of raw_events and the tables, as the ledger sees them: it passes the same tests as the real ones."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sinks.ledger.account import Offsets, RawEvent, Stored


@dataclass
class MemoryEvidence:
    """Topics and tables at once; streams is through with all of raw_events.

    rows, dead: source offsets that have a row, or a dead letter of the sink. repeats: offset of a raw event that is a
    copy → offset of its original. dead_letters_in: how often it must be asked until the dead letters are rows.
    """

    end: int = 0
    low: int = 0
    rows: set[int] = field(default_factory=set)
    dead: set[int] = field(default_factory=set)
    repeats: Mapping[int, int] = field(default_factory=dict)
    dead_letters_in: int = 0
    away: Exception | None = None
    project_id: str = "project"
    read_offsets: list[int] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    looks: int = 0

    def partitions(self) -> list[int]:
        if self.away is not None:
            raise self.away
        return [0]

    def processed(self, partition: int) -> int:
        self.asked.append("processed")
        return self.end

    def sink(self, partition: int) -> tuple[int | None, bool]:
        self.asked.append("sink")
        return max(self.rows | self.dead, default=None), False

    def dead_letter_ends(self) -> dict[int, int]:
        self.asked.append("dead_letter_ends")
        return {0: len(self.dead)}

    def dead_letters_written(self, ends: Mapping[int, int]) -> bool:
        self.dead_letters_in -= 1
        return self.dead_letters_in < 0 and sum(ends.values()) <= len(self.dead)

    def bounds(self, partition: int) -> tuple[int, int]:
        self.asked.append("bounds")
        return self.low, self.end

    def read(self, partition: int, wanted: Offsets) -> Iterator[RawEvent]:
        self.read_offsets += wanted.tolist()
        return (self._event(offset) for offset in wanted.tolist() if self.low <= offset < self.end)

    def stored(self, partition: int, start: int, end: int) -> Stored:
        self.looks += 1
        rows, dead = (sorted(offset for offset in some if start <= offset < end) for some in (self.rows, self.dead))
        return Stored(_offsets(rows), _offsets([]), _offsets(dead))

    def kept(self, events: Sequence[RawEvent]) -> set[tuple[str, str]]:
        there = {self._event(offset).message_id for offset in self.rows | self.dead}
        return {(event.project_id, event.message_id) for event in events if event.message_id in there}

    def by_project(self, partition: int, start: int, end: int) -> list[tuple[str, str, int]]:
        counts = {
            outcome: len([offset for offset in some if start <= offset < end])
            for outcome, some in (("stored", self.rows), ("dead", self.dead - self.rows))
        }
        return [(outcome, self.project_id, count) for outcome, count in counts.items() if count]

    def _event(self, offset: int) -> RawEvent:
        return RawEvent(offset, self.project_id, f"id of {self.repeats.get(offset, offset)}")


def _offsets(values: Sequence[int]) -> Offsets:
    return np.array(values, dtype=np.int64)
