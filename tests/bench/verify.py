"""Whether a worker's outputs are what the load says they must be: read back from Kafka, every record."""

from collections.abc import Iterable
from typing import Protocol

from schemas.column_codec import ColumnCodec
from schemas.registry import open_ids
from schemas.settings import Settings
from tests.bench.lines import require, require_equal
from tests.bench.loads import Load

_CHUNK = 5_000


class Written(Protocol):
    """A record that was written: librdkafka's, or one that stands in for it."""

    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def partition(self) -> int | None: ...


class Topics(Protocol):
    """Where a worker has written: a Broker, or what stands in for it."""

    def read(self, topic: str) -> Iterable[Written]:
        """Every record."""

    def count(self, topic: str) -> int:
        """How many records the topic has ever got."""


def verify_streams(topics: Topics, settings: Settings, load: Load) -> None:
    """Each distinct event enriched once in its raw event's partition; sessions that count them all; every link; and
    nothing among the dead letters. Raises WrongOutputError.
    """
    _verify_enriched(topics, settings.topic("enriched_events"), load)
    _verify_sessions(topics, settings.topic("sessions"), load)
    _verify_identities(topics, settings.topic("identities"), load)
    require_equal("dead letters", topics.count(settings.topic("dead_letters")), 0)


def _verify_enriched(topics: Topics, topic: str, load: Load) -> None:
    codec = ColumnCodec("enriched_events", open_ids(None))
    found: list[str] = []
    values: list[bytes] = []
    partitions: list[int | None] = []

    def decode() -> None:
        batch, _, invalid = codec.decode_columns(values)
        require_equal("enriched events that cannot be decoded", len(invalid), 0)
        require(batch["source_partition"].to_pylist() == partitions, "an enriched event left its partition")
        require(all(batch["session_id"].to_pylist()), "an enriched event has no session")
        found.extend(batch["event_id"].to_pylist())
        values.clear()
        partitions.clear()

    for message in topics.read(topic):
        values.append(message.value() or b"")
        partitions.append(message.partition())
        if len(values) == _CHUNK:
            decode()
    if values:
        decode()
    require_equal("enriched events", len(found), len(load.event_ids))
    require(set(found) == load.event_ids, "the enriched events are not those that were sent")


def _verify_sessions(topics: Topics, topic: str, load: Load) -> None:
    codec = ColumnCodec("sessions", open_ids(None))
    newest: dict[bytes, bytes] = {message.key() or b"": message.value() or b"" for message in topics.read(topic)}
    batch, _, _ = codec.decode_columns(list(newest.values()))
    pairs = zip(batch["event_count"].to_pylist(), batch["is_deleted"].to_pylist(), strict=True)
    require_equal(
        "events of all sessions", sum(count for count, is_deleted in pairs if not is_deleted), len(load.event_ids)
    )


def _verify_identities(topics: Topics, topic: str, load: Load) -> None:
    codec = ColumnCodec("identities", open_ids(None))
    links = set()
    for message in topics.read(topic):
        identity = codec.decode(message.value() or b"")
        links.add((identity["anonymous_id"], identity["user_id"]))
    require_equal("links", len(links), len(load.links))
    require(links == load.links, "the links are not those that were sent")
