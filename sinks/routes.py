"""Which topic fills which table, and by which promise."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

DEAD_LETTERS: Final = "dead_letters"


@dataclass(frozen=True, slots=True)
class Route:
    """One topic and its table.

    exactly_once: records open with source_offset, source_partition, source_generation, and each of these stands once in
    the table. Otherwise rows may be written again, and the table's engine keeps one.
    version: the field by which the newest of the records with one Kafka key is known; only that one is sent.
    since: the field from which the latency of a row is counted.
    """

    topic: str
    table: str
    exactly_once: bool = False
    version: str | None = None
    since: str | None = None


ROUTES: Final[Mapping[str, Route]] = {
    route.topic: route
    for route in (
        Route("enriched_events", "events", exactly_once=True, since="received_at"),
        Route("sessions", "sessions", version="version"),
        Route("identities", "identities", version="linked_at"),
        Route("conversations", "conversations", version="version"),
        Route("identity_changes", "identity_changes"),
        Route("projects", "projects", version="updated_at"),
        Route(DEAD_LETTERS, "dead_letters", since="first_seen_at"),
    )
}
