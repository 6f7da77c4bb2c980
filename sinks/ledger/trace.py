"""Where one event is, by its messageId: stored, duplicate, dead letter, in flight or lost, and why.

What an event is follows from its own project: two projects may use one messageId, and each has an event of its own.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from schemas.message_ids import MessageIds, canonical_uuid
from sinks.ledger.account import RawEvent, spans
from sinks.ledger.audit import Reach, Sleep, Tell, reaches
from sinks.ledger.evidence import DeadEvent, TopicEvidence
from sinks.ledger.outcomes import LedgerOutcome

COPIES_MAX: Final = 1_000  # a client that sends one event for ever must not fill the memory
_PROGRESS_EVENTS: Final = 5_000_000

EventName = tuple[str, str]  # project_id and message_id


@dataclass(frozen=True, slots=True)
class Sighting:
    """One place where the event was found, or where it should be and is not."""

    outcome: LedgerOutcome
    project_id: str
    particulars: str


class Row(NamedTuple):
    """A row of `events`: whose it is, the place of its raw event, and what to say of it."""

    name: EventName
    generation: int
    partition: int
    offset: int
    particulars: str


@dataclass(slots=True)
class Copies:
    """The event's raw events in one partition; beyond `COPIES_MAX` they are only counted."""

    kept: list[RawEvent] = field(default_factory=list)
    more: int = 0

    def collect(self, events: Iterable[RawEvent], text: str) -> None:
        """Take the events of this messageId."""
        for event in events:
            if event.client_message_id == text or event.message_id == canonical_uuid(text):
                if len(self.kept) < COPIES_MAX:
                    self.kept.append(event)
                else:
                    self.more += 1


def needles(text: str) -> list[bytes]:
    """What a raw event of this messageId holds, in bytes: the text, or the UUID that it is."""
    return sorted({text.encode(), (canonical_uuid(text) or text).encode()})


def names_of(text: str, project_ids: Iterable[str], copies: Iterable[RawEvent]) -> set[EventName]:
    """The event as each project would have it, and as raw events have it, whose project no table may know yet."""
    names = {(event.project_id, event.message_id) for event in copies}
    own = canonical_uuid(text)
    return names | {(project_id, own or MessageIds(project_id)(text)) for project_id in project_ids}


def stored_row(
    project_id: str,
    message_id: str,
    generation: int,
    partition: int,
    offset: int,
    kind: str,
    name: str,
    event_id: str,
    received: str,
    processed: str,
    session: str,
) -> Row:
    """What `events` has in a row, as `Row` tells it."""
    particulars = (
        f"{kind} {name!r}, event_id {event_id}, accepted {received}, processed {processed} (UTC), session {session}, "
        f"raw_events generation {generation} partition {partition} offset {offset}"
    )
    return Row((project_id, message_id), generation, partition, offset, particulars)


def dead_letter(
    project_id: str,
    dead_letter_id: str,
    stage: str,
    reason: str,
    detail: str,
    seen: str,
    topic: str,
    partition: int,
    offset: int,
) -> Sighting:
    """What `dead_letters` has in a row, as a sighting."""
    place = f", {topic} partition {partition} offset {offset}" if topic else ""
    particulars = f"{reason} in {stage}: {detail}; dead letter {dead_letter_id}, first seen {seen} (UTC){place}"
    return Sighting(LedgerOutcome.DEAD, project_id, particulars)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far everybody is with a partition of raw_events.

    processed: the offset below which streams has been. settled: the one below which everything has landed.
    """

    generation: int
    partition: int
    processed: int
    settled: int


def judge(
    progress: Progress,
    copies: Sequence[RawEvent],
    rows: Sequence[Row],
    dead_events: Mapping[int, DeadEvent],
    dead: set[EventName],
) -> Iterator[Sighting]:
    """What became of the copies in a partition of raw_events that have no row of their own.

    dead_events: the dead letters, by the raw event's offset. dead: events of which a copy, anywhere, became one.
    """
    own = {(row.generation, row.partition, row.offset) for row in rows}
    stored = {row.name for row in rows}
    for event in copies:
        if (progress.generation, progress.partition, event.offset) in own:
            continue
        name = (event.project_id, event.message_id)
        if (found := dead_events.get(event.offset)) is not None:
            outcome = LedgerOutcome.DEAD
            why = f"{found.reason} in {found.stage}, dead letter {found.dead_letter_id}: {found.detail}"
        elif event.offset >= progress.processed:
            outcome, why = LedgerOutcome.IN_FLIGHT, "accepted, not yet processed by streams"
        elif name in stored:
            outcome, why = LedgerOutcome.DUPLICATE, "repeats the stored event"
        elif name in dead:
            outcome, why = LedgerOutcome.DUPLICATE, "repeats the event that became a dead letter"
        elif event.offset >= progress.settled:
            outcome, why = LedgerOutcome.IN_FLIGHT, "processed by streams, not yet written by the sink"
        else:
            outcome, why = (
                LedgerOutcome.LOST,
                "streams and the sink are past it, and it has neither row nor dead letter",
            )
        yield Sighting(
            outcome, event.project_id, f"raw_events partition {progress.partition} offset {event.offset}: {why}"
        )


class SearchedTopics(TopicEvidence, Protocol):
    """Raw events by what their bytes hold."""

    def offset_at(self, partition: int, since_ms: int, end: int) -> int:
        """The first offset of raw_events at or after a time; `end` when there is none."""

    def matching(self, partition: int, start: int, end: int, texts: Sequence[bytes]) -> Iterator[RawEvent]:
        """The raw events of [start, end) whose bytes hold one of the texts."""


class SearchedTables(Protocol):
    """Rows and dead letters of single events."""

    def rows(self, names: set[EventName]) -> list[Row]:
        """The rows of these events, however many projects there are."""

    def dead_letters(self, text: str) -> dict[str, Sighting]:
        """The dead letters that name this messageId, by their ids."""

    def dead_events(self, partition: int, offsets: Sequence[int]) -> Iterator[DeadEvent]:
        """The dead letters of the raw events at these offsets."""

    def project_ids(self) -> list[str]:
        """Every project that the table knows."""


class Tracer:
    """Looks for events in the topics and tables; `tell` is told of each part that is read, as that can take minutes."""

    def __init__(
        self,
        generation: int,
        topics: SearchedTopics,
        tables: SearchedTables,
        sleep: Sleep,
        tell: Tell = lambda line: None,
    ) -> None:
        self._generation = generation
        self._topics = topics
        self._tables = tables
        self._sleep = sleep
        self._tell = tell

    def find(self, text: str, since_ms: int | None = None) -> list[Sighting]:
        """Where the event of a messageId is: in the tables, then each copy in raw_events without a row of its own.

        since_ms: look only at what was accepted since (ms since 1970). Raises ReadFailedError.
        """
        # Positions before tables: what is settled by now has its row when it is asked for.
        progress = self._progress()
        copies = {
            partition: self._copies(partition, reach, text, since_ms) for partition, (_, reach) in progress.items()
        }
        every = [event for found in copies.values() for event in found.kept]
        rows = self._tables.rows(names_of(text, self._tables.project_ids(), every))
        dead_letters = self._tables.dead_letters(text)
        dead_events = {
            partition: {
                event.raw_offset: event
                for event in self._tables.dead_events(partition, [event.offset for event in found.kept])
            }
            for partition, found in copies.items()
        }
        dead = {
            (event.project_id, event.message_id)
            for partition, found in copies.items()
            for event in found.kept
            if event.offset in dead_events[partition]
        }
        sightings = [Sighting(LedgerOutcome.STORED, row.name[0], row.particulars) for row in rows]
        sightings += dead_letters.values()
        for partition, found in copies.items():
            told = {offset for offset, dead in dead_events[partition].items() if dead.dead_letter_id in dead_letters}
            untold = [event for event in found.kept if event.offset not in told]
            sightings += judge(progress[partition][0], untold, rows, dead_events[partition], dead)
            if found.more:
                sightings.append(
                    Sighting(LedgerOutcome.DUPLICATE, "any", f"partition {partition}: {found.more} more copies")
                )
        return sightings

    def _progress(self) -> dict[int, tuple[Progress, Reach]]:
        processed = {partition: self._topics.processed(partition) for partition in self._topics.partitions()}
        return {
            partition: (Progress(self._generation, partition, processed.get(partition, 0), reach.settled), reach)
            for partition, reach in reaches(self._topics, self._sleep).items()
        }

    def _copies(self, partition: int, reach: Reach, text: str, since_ms: int | None) -> Copies:
        found = Copies()
        start = (
            reach.low if since_ms is None else max(reach.low, self._topics.offset_at(partition, since_ms, reach.end))
        )
        for first, last in spans(start, reach.end, _PROGRESS_EVENTS):
            self._tell(f"partition {partition}: reading {first} to {last} of {reach.end}")
            found.collect(self._topics.matching(partition, first, last, needles(text)), text)
        return found
