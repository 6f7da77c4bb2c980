"""What the ledger asks of the topics (`ledger/kafka.py` answers) and of the tables (a database's folder does).

The tests' stand-in for both passes the same tests as they do.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from sinks.ledger.account import Offsets, RawEvent, Stored


class DeadEvent(NamedTuple):
    """A dead letter and the offset of the raw event that it is of."""

    project_id: str
    stage: str
    reason: str
    detail: str
    dead_letter_id: str
    raw_offset: int


class TopicEvidence(Protocol):
    """How far everybody is, and raw events."""

    def partitions(self) -> list[int]:
        """The partitions of raw_events."""

    def bounds(self, partition: int) -> tuple[int, int]:
        """The first and the next offset of raw_events."""

    def processed(self, partition: int) -> int:
        """The offset of raw_events up to which streams is done; 0 before its first commit."""

    def sink(self, partition: int) -> tuple[int | None, bool]:
        """The highest source offset the sink has written, and whether enriched_events holds more than that."""

    def dead_letter_ends(self) -> dict[int, int]:
        """The end of each partition of the topic dead_letters."""

    def dead_letters_written(self, ends: Mapping[int, int]) -> bool:
        """Whether the sink has written the dead letters below these offsets."""

    def read(self, partition: int, offsets: Offsets) -> Iterator[RawEvent]:
        """The raw events at these offsets (rising), as far as the topic still has them and they can be decoded."""


class TableEvidence(Protocol):
    """What stands of raw events in the tables."""

    def stored(self, partition: int, start: int, end: int) -> Stored:
        """What stands of the source offsets [start, end) of a partition."""

    def kept(self, events: Sequence[RawEvent]) -> set[tuple[str, str]]:
        """Which (project_id, message_id) of these events have a row, or a dead letter of the sink."""

    def by_project(self, partition: int, start: int, end: int) -> list[tuple[str, str, int]]:
        """Outcome (stored or dead), project id and number of the source offsets [start, end) of a partition."""


class AuditedTopics(TopicEvidence, Protocol):
    """The same for a whole ledger at once, which tells projects apart also of what is in flight."""

    def offset_at(self, partition: int, since_ms: int, end: int) -> int:
        """The first offset of raw_events at or after a time; `end` when there is none."""

    def projects(self, partition: int, start: int, end: int) -> Counter[str]:
        """How many raw events of [start, end) each project has."""


class AuditedTables(TableEvidence, Protocol):
    """The same, with events that never were in raw_events."""

    def refused(self, since_ms: int) -> list[tuple[str, int]]:
        """Project id and number of the dead letters of the collector since a time (ms since 1970)."""

    def project_names(self) -> dict[str, str]:
        """The name of each project, by its id."""
