"""A raw_events topic beside the rig, with a streams worker that is no more than the offsets it would have committed."""

from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from schemas.registry import open_ids
from schemas.topics import streams_group
from sinks.database import Reader, open_reader
from sinks.ledger.audit import Auditor, Ledger
from sinks.ledger.kafka import KafkaTopics
from tests.sinks.records import NOT_A_UUID, event, framed, framed_all
from tests.sinks.rig import SinkRig

GENERATION = 1


def raw(offset: int, partition: int = 0, **fields: Any) -> dict[str, Any]:
    """The raw event of which `records.event` is what streams made."""
    enriched = event(offset, partition)
    names = ("event_id", "message_id", "client_message_id", "tenant_id", "project_id", "event_type", "event_name")
    more = ("timestamp", "received_at", "anonymous_id", "user_id", "group_id", "previous_id", "ip_address")
    record = {name: enriched[name] for name in (*names, *more, "user_agent", "properties", "context")}
    return record | {"client_session_id": None} | fields


class Accounts:
    """What is accepted, what of it streams has handed on, and the ledger of it."""

    def __init__(self, rig: SinkRig) -> None:
        self.rig = rig
        rig.create_topic("raw_events")

    def accept(self, count: int, partition: int = 0, repeats: Mapping[int, int] | None = None) -> None:
        """Raw events at offsets 0, 1, …; at the offsets in `repeats` a copy of the one named."""
        self.accept_all([raw((repeats or {}).get(offset, offset), partition) for offset in range(count)], partition)

    def accept_all(self, records: list[dict[str, Any]], partition: int = 0) -> None:
        """These raw events, at the next offsets."""
        self.rig.produce("raw_events", framed_all("raw_events", records), partition)

    def hand_on(
        self, end: int, *, left_out: Container[int] = (), refused: Container[int] = (), partition: int = 0
    ) -> None:
        """What streams does with offsets [0, end): enriched events but for some; ClickHouse refuses the `refused`."""
        values = [
            framed(offset, partition, **(NOT_A_UUID if offset in refused else {}))
            for offset in range(end)
            if offset not in left_out
        ]
        self.rig.produce("enriched_events", values, partition)
        self.commit(end, partition)

    def commit(self, end: int, partition: int = 0) -> None:
        """Streams has been through [0, end)."""
        settings = self.rig.settings
        group = settings.topic(streams_group(settings))
        self.rig.kafka.commit_places(group, [("raw_events", partition, end)])

    @contextmanager
    def sources(self) -> Iterator[tuple[Reader, KafkaTopics]]:
        """Connections of a ledger."""
        reader = open_reader(self.rig.settings)
        topics = KafkaTopics(self.rig.settings, open_ids(None))
        try:
            yield reader, topics
        finally:
            topics.close()
            reader.close()

    def ledger(self) -> Ledger:
        """The ledger now, waiting for nothing."""
        with self.sources() as (reader, topics):
            return Auditor(topics, reader.ledger, lambda _seconds: None).audit()

    def settled(self) -> Ledger:
        """The ledger once nothing is in flight."""
        found = [self.ledger()]

        def finished() -> bool:
            found[0] = self.ledger()
            return found[0].total.in_flight == 0

        self.rig.wait_until(finished, lambda: found[0])
        return found[0]
