"""Raw events as Kafka records, and what must come of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from schemas.codec import Codec
from schemas.registry import open_ids

Link = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Load:
    """Records (key, value) of raw_events; for each the event's id, and the visitor and user it ties, if any."""

    records: list[dict[str, Any]]
    ids: list[str]
    ties: list[Link | None]

    @property
    def event_ids(self) -> set[str]:
        """Ids of the distinct events."""
        return set(self.ids)

    @property
    def links(self) -> set[Link]:
        """The distinct links."""
        return {tie for tie in self.ties if tie is not None}

    @property
    def keys(self) -> set[bytes]:
        """The distinct session keys."""
        return {record["key"] for record in self.records}

    @property
    def claims(self) -> int:
        """How many distinct events tie a visitor to a user."""
        return len({event for event, tie in zip(self.ids, self.ties, strict=True) if tie is not None})

    def without_records(self) -> "Load":
        """What must come of it, without what is sent: less to hold."""
        return Load([], self.ids, self.ties)

    def __add__(self, other: "Load") -> "Load":
        return Load(self.records + other.records, self.ids + other.ids, self.ties + other.ties)

    def __len__(self) -> int:
        return len(self.records)


def make_load(pairs: Iterable[tuple[str, dict[str, Any]]]) -> Load:
    """Pairs of `Traffic`, encoded."""
    codec = Codec("raw_events", open_ids(None))
    load = Load([], [], [])
    for key, record in pairs:
        load.records.append({"key": key.encode(), "value": codec.encode(record)})
        load.ids.append(record["event_id"])
        is_identify = record["event_type"] == "identify"
        load.ties.append((record["anonymous_id"], record["user_id"]) if is_identify else None)
    return load
