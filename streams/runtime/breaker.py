"""Stops a worker that would make dead letters of a topic: then it is not the records that are bad. Pure.

As in Arroyo's `DlqLimit`, there is a share and a run. What a client can bring about by himself does not count, nor do
dead letters that are sent through again and die again: nobody who holds a write key can stop a worker with it.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from schemas.outcomes import DeadReason
from streams.runtime.operator import Outputs

# By a named limit, from what collectors take. The other reasons are of records that no collector writes.
_OF_CLIENTS: Final = frozenset({DeadReason.OUTPUT_TOO_LARGE})


class TooManyDeadError(RuntimeError):
    """More records of a topic would become dead letters than may. Nothing of it may be committed."""


@dataclass(frozen=True, slots=True)
class DeadLimits:
    """share_max: of the last `share_records` records of a topic; run_max: records in a row, counted in chunks."""

    share_max: float
    share_records: int
    run_max: int


class Breaker:
    """Counts the records of one topic that become dead letters."""

    def __init__(self, topic: str, limits: DeadLimits) -> None:
        self._topic = topic
        self._limits = limits
        self._chunks: deque[tuple[int, int]] = deque()  # records and dead letters of the last ones
        self._records = 0
        self._dead = 0
        self._run = 0

    @property
    def share(self) -> float:
        """The share of the last records that became dead letters, of at least `share_records` as soon as there are."""
        return self._dead / max(self._records, self._limits.share_records)

    def note(self, outputs: Outputs, excused: int) -> None:
        """Count a chunk, of whose dead letters so many say nothing new. Raises TooManyDeadError."""
        died = sum(count for reason, count in outputs.dead.items() if reason not in _OF_CLIENTS)
        dead = max(0, died - excused)
        lived = outputs.kept + outputs.duplicates + sum(outputs.dead.values()) - dead
        self._add(lived + dead, dead)
        self._run = 0 if lived else self._run + dead
        limits = self._limits
        if self._run > limits.run_max:
            raise TooManyDeadError(f"{self._topic}: {self._run} records in a row would become dead letters")
        if self.share > limits.share_max:
            raise TooManyDeadError(
                f"{self._topic}: {self._dead} of the last {self._records} records would become dead letters"
            )

    def _add(self, records: int, dead: int) -> None:
        self._chunks.append((records, dead))
        self._records += records
        self._dead += dead
        while self._records - self._chunks[0][0] >= self._limits.share_records:
            gone, gone_dead = self._chunks.popleft()
            self._records -= gone
            self._dead -= gone_dead
