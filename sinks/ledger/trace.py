"""Where one event is, by its messageId: stored, duplicate, dead letter, in flight or lost, and why.

What an event is follows from its own project: two projects may use one messageId, and each has an event of its own.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from clickhouse_driver import Client

from schemas.message_ids import MessageIds, canonical_uuid
from schemas.settings import Settings
from sinks.clickhouse.ledger_tables import Death, Tables
from sinks.ledger.account import RawEvent, spans
from sinks.ledger.audit import Reach, Sleep, Tell, reaches
from sinks.ledger.kafka import Topics

COPIES_MAX: Final = 1_000  # a client that sends one event for ever must not fill the memory
_PROGRESS_EVENTS: Final = 5_000_000
_IDS_MAX: Final = 2_000  # ids asked for at once; ClickHouse reads statements of up to 256 KiB
_TIME: Final = "formatDateTime({0}, '%%Y-%%m-%%d %%H:%%i:%%S', 'UTC')"
_EVENT: Final = (
    "SELECT project_id, toString(message_id), source_generation, source_partition, source_offset, event_type, "
    f"event_name, toString(event_id), {_TIME.format('received_at')}, {_TIME.format('processed_at')}, session_id "
    "FROM events WHERE message_id IN %(ids)s"
)
_DEAD: Final = (
    f"SELECT project_id, toString(dead_letter_id), stage, reason, detail, {_TIME.format('first_seen_at')}, "
    "source_topic, source_partition, source_offset FROM dead_letters FINAL WHERE client_message_id = %(text)s "
    "ORDER BY first_seen_at LIMIT 1000"
)

EventName = tuple[str, str]  # project_id and message_id


@dataclass(frozen=True, slots=True)
class Sighting:
    """One place where the event was found; `where` is one of stored, duplicate, dead letter, in flight, lost."""

    where: str
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


def rows_of(client: Client, names: set[EventName]) -> list[Row]:
    """The rows of these events, however many projects there are."""
    ids = sorted({message_id for _, message_id in names})
    found: list[Row] = []
    for start in range(0, len(ids), _IDS_MAX):
        answer: list[tuple[Any, ...]] = client.execute(_EVENT, {"ids": tuple(ids[start : start + _IDS_MAX])})
        found += [_row(*values) for values in answer if values[:2] in names]
    return found


def _row(
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
    particulars = (
        f"{kind} {name!r}, event_id {event_id}, accepted {received}, processed {processed} (UTC), session {session}, "
        f"raw_events generation {generation} partition {partition} offset {offset}"
    )
    return Row((project_id, message_id), generation, partition, offset, particulars)


def dead_letters_of(client: Client, text: str) -> dict[str, Sighting]:
    """The dead letters that name this messageId, by their ids."""
    found = {}
    for project_id, dead_letter_id, stage, reason, detail, seen, topic, partition, offset in client.execute(
        _DEAD, {"text": text}
    ):
        place = f", {topic} partition {partition} offset {offset}" if topic else ""
        particulars = f"{reason} in {stage}: {detail}; dead letter {dead_letter_id}, first seen {seen} (UTC){place}"
        found[dead_letter_id] = Sighting("dead letter", project_id, particulars)
    return found


@dataclass(frozen=True, slots=True)
class Standing:
    """How far everybody is with a partition of raw_events.

    processed: the offset below which streams has been. settled: the one below which everything has landed.
    """

    generation: int
    partition: int
    processed: int
    settled: int


def judge(
    standing: Standing,
    copies: Sequence[RawEvent],
    rows: Sequence[Row],
    deaths: Mapping[int, Death],
    dead: set[EventName],
) -> Iterator[Sighting]:
    """What became of the copies in a partition of raw_events that have no row of their own.

    deaths: the dead letters, by the raw event's offset. dead: events of which a copy, in any partition, became one.
    """
    own = {(row.generation, row.partition, row.offset) for row in rows}
    stored = {row.name for row in rows}
    for event in copies:
        if (standing.generation, standing.partition, event.offset) in own:
            continue
        name = (event.project_id, event.message_id)
        if (death := deaths.get(event.offset)) is not None:
            where = "dead letter"
            why = f"{death.reason} in {death.stage}, dead letter {death.dead_letter_id}: {death.detail}"
        elif event.offset >= standing.processed:
            where, why = "in flight", "accepted, not yet processed by streams"
        elif name in stored:
            where, why = "duplicate", "repeats the stored event"
        elif name in dead:
            where, why = "duplicate", "repeats the event that became a dead letter"
        elif event.offset >= standing.settled:
            where, why = "in flight", "processed by streams, not yet written by the sink"
        else:
            where, why = "lost", "streams and the sink are past it, and it has neither row nor dead letter"
        yield Sighting(
            where, event.project_id, f"raw_events partition {standing.partition} offset {event.offset}: {why}"
        )


class Tracer:
    """Looks for events in the topics and tables; `tell` is told of each part that is read, as that can take minutes."""

    def __init__(
        self, settings: Settings, client: Client, topics: Topics, sleep: Sleep, tell: Tell = lambda line: None
    ) -> None:
        self._generation = settings.streams_generation
        self._client = client
        self._topics = topics
        self._tables = Tables(client, settings)
        self._sleep = sleep
        self._tell = tell

    def find(self, text: str, since_ms: int | None = None) -> list[Sighting]:
        """Where the event of a messageId is: in the tables, then each copy in raw_events without a row of its own.

        since_ms: look only at what was accepted since (ms since 1970). Raises LedgerError when Kafka does not answer.
        """
        # Positions before tables: what is settled by now has its row when it is asked for.
        standings = self._standings()
        copies = {
            partition: self._copies(partition, reach, text, since_ms) for partition, (_, reach) in standings.items()
        }
        every = [event for found in copies.values() for event in found.kept]
        rows = rows_of(self._client, names_of(text, project_ids(self._client), every))
        dead_letters = dead_letters_of(self._client, text)
        deaths = {
            partition: {
                death.raw_offset: death
                for death in self._tables.deaths(partition, [event.offset for event in found.kept])
            }
            for partition, found in copies.items()
        }
        dead = {
            (event.project_id, event.message_id)
            for partition, found in copies.items()
            for event in found.kept
            if event.offset in deaths[partition]
        }
        sightings = [Sighting("stored", row.name[0], row.particulars) for row in rows]
        sightings += dead_letters.values()
        for partition, found in copies.items():
            told = {offset for offset, death in deaths[partition].items() if death.dead_letter_id in dead_letters}
            untold = [event for event in found.kept if event.offset not in told]
            sightings += judge(standings[partition][0], untold, rows, deaths[partition], dead)
            if found.more:
                sightings.append(Sighting("duplicate", "any", f"partition {partition}: {found.more} more copies"))
        return sightings

    def _standings(self) -> dict[int, tuple[Standing, Reach]]:
        processed = {partition: self._topics.processed(partition) for partition in self._topics.partitions()}
        return {
            partition: (Standing(self._generation, partition, processed.get(partition, 0), reach.settled), reach)
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


def project_ids(client: Client) -> list[str]:
    """Every project that the table knows."""
    return [name for (name,) in client.execute("SELECT DISTINCT toString(project_id) FROM projects")]
