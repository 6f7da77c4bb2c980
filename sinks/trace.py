"""Where one event is, by its messageId: stored, duplicate, dead or still on its way, and why."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from clickhouse_driver import Client

from sinks.ledger import RawEvent

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


def in_topic(
    events: Iterator[RawEvent], ids: dict[str, str], stored: dict[tuple[int, int], str], partition: int, processed: int
) -> Iterator[Sighting]:
    """Copies of the event among raw events that have no row of their own.

    stored: the project of the row at each (partition, offset); processed: the offset below which streams has been.
    """
    for event in events:
        if ids.get(event.project_id) != event.message_id or (partition, event.offset) in stored:
            continue
        place = f"raw_events partition {partition} offset {event.offset}"
        if event.offset >= processed:
            yield Sighting("in flight", event.project_id, f"{place}: accepted, not yet processed by streams")
        elif stored:
            yield Sighting("duplicate", event.project_id, f"{place}: repeats the stored event")
        else:
            yield Sighting("in flight", event.project_id, f"{place}: processed by streams, not yet written by the sink")
