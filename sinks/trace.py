"""Where one event is, by its messageId: stored, duplicate, dead or still on its way, and why."""

import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from clickhouse_driver import Client

from sinks.ledger import RawEvent
from sinks.ledger_tables import Death

_EVENT: Final = (
    "SELECT project_id, toString(event_id), toString(message_id), event_type, event_name, received_at, processed_at, "
    "session_id, source_generation, source_partition, source_offset FROM events WHERE message_id IN %(ids)s"
)
_LETTER: Final = (
    "SELECT project_id, stage, reason, detail, first_seen_at, source_topic, source_partition, source_offset "
    "FROM dead_letters FINAL WHERE client_message_id = %(message_id)s"
)


@dataclass(frozen=True, slots=True)
class Sighting:
    """One place where the event was found; `where` is one of stored, duplicate, dead letter, in flight."""

    where: str
    project_id: str
    particulars: str


def message_ids(client_message_id: str, project_ids: list[str]) -> dict[str, str]:
    """The message_id a messageId becomes, by project: itself when it is a UUID, else UUIDv5 of the project and it."""
    try:
        own = str(uuid.UUID(client_message_id)) if len(client_message_id) == 36 else ""
    except ValueError:
        own = ""
    return {project_id: own or str(uuid.uuid5(uuid.UUID(project_id), client_message_id)) for project_id in project_ids}


def stored_places(client: Client, ids: dict[str, str]) -> dict[tuple[int, int], str]:
    """The project of each row of the event, by the partition and offset it came from."""
    rows = client.execute(
        "SELECT source_partition, source_offset, project_id, toString(message_id) FROM events "
        "WHERE message_id IN %(ids)s",
        {"ids": tuple(sorted(set(ids.values())) or ("",))},
    )
    return {
        (partition, offset): project_id
        for partition, offset, project_id, message_id in rows
        if ids.get(project_id) == message_id
    }


def in_tables(client: Client, client_message_id: str, ids: dict[str, str]) -> Iterator[Sighting]:
    """What the tables hold of the event."""
    rows: list[tuple[Any, ...]] = client.execute(_EVENT, {"ids": tuple(sorted(set(ids.values())) or ("",))})
    for (
        project_id,
        event_id,
        message_id,
        kind,
        name,
        received,
        processed,
        session,
        generation,
        partition,
        offset,
    ) in rows:
        if ids.get(project_id) == message_id:
            yield Sighting(
                "stored",
                project_id,
                f"{kind} {name!r}, event_id {event_id}, accepted {received}, processed {processed}, session {session}, "
                f"raw_events generation {generation} partition {partition} offset {offset}",
            )
    for project_id, stage, reason, detail, seen, topic, partition, offset in client.execute(
        _LETTER, {"message_id": client_message_id}
    ):
        place = f", {topic} partition {partition} offset {offset}" if topic else ""
        yield Sighting("dead letter", project_id, f"{reason} in {stage}: {detail}; first seen {seen}{place}")


def copies(events: Iterable[RawEvent], ids: dict[str, str]) -> list[RawEvent]:
    """Of raw events, those of the messageId."""
    return [event for event in events if ids.get(event.project_id) == event.message_id]


def in_topic(
    found: Iterable[RawEvent],
    stored: dict[tuple[int, int], str],
    deaths: Mapping[int, Death],
    partition: int,
    processed: int,
) -> Iterator[Sighting]:
    """What became of the copies of the event in raw_events that have no row of their own.

    stored: the project of the row at each (partition, offset); deaths: the dead letters, by the raw event's offset;
    processed: the offset below which streams has been.
    """
    for event in found:
        if (partition, event.offset) in stored:
            continue
        place = f"raw_events partition {partition} offset {event.offset}"
        if (death := deaths.get(event.offset)) is not None:
            yield Sighting(
                "dead letter",
                event.project_id,
                f"{place}: {death.reason} in {death.stage}, dead letter {death.dead_letter_id}: {death.detail}",
            )
        elif event.offset >= processed:
            yield Sighting("in flight", event.project_id, f"{place}: accepted, not yet processed by streams")
        elif stored:
            yield Sighting("duplicate", event.project_id, f"{place}: repeats the stored event")
        elif deaths:
            yield Sighting("duplicate", event.project_id, f"{place}: repeats the event that became a dead letter")
        else:
            yield Sighting("in flight", event.project_id, f"{place}: processed by streams, not yet written by the sink")
