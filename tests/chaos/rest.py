"""Whether anything is still under way: what the groups have not acknowledged, and what stands in the topics."""

from typing import Final

from confluent_kafka import Consumer, TopicPartition

from schemas.settings import Settings
from schemas.topics import streams_group

_SINK_TOPICS: Final = ("enriched_events", "sessions", "identities", "dead_letters", "projects")
_TIMEOUT_S: Final = 5.0


class Groups:
    """The groups of one pipeline. Every question raises KafkaException when Kafka does not answer."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consumers: dict[str, Consumer] = {}

    def lag(self) -> int:
        """Records that are not acknowledged yet, of all groups."""
        settings = self._settings
        prefix = f"{settings.topic_prefix}{settings.sinks_group}"
        of_streams = [(settings.topic(streams_group(settings)), topic) for topic in ("raw_events", "identity_claims")]
        of_sinks = [(f"{prefix}-{topic}", topic) for topic in _SINK_TOPICS]
        return sum(self._lag_of(group, topic) for group, topic in [*of_streams, *of_sinks])

    def records(self, topic: str) -> int:
        """How many a topic holds."""
        consumer = self._consumer("chaos")
        bounds = [consumer.get_watermark_offsets(place, timeout=_TIMEOUT_S) for place in self._places(consumer, topic)]
        return sum(high - low for low, high in bounds)

    def close(self) -> None:
        """Let go of the connections."""
        for consumer in self._consumers.values():
            consumer.close()
        self._consumers.clear()

    def _lag_of(self, group: str, topic: str) -> int:
        consumer = self._consumer(group)
        behind = 0
        for place in consumer.committed(self._places(consumer, topic), timeout=_TIMEOUT_S):
            low, high = consumer.get_watermark_offsets(place, timeout=_TIMEOUT_S)
            behind += high - max(low, place.offset)
        return behind

    def _places(self, consumer: Consumer, topic: str) -> list[TopicPartition]:
        name = self._settings.topic(topic)
        partitions = consumer.list_topics(name, timeout=_TIMEOUT_S).topics[name].partitions
        return [TopicPartition(name, partition) for partition in partitions]

    def _consumer(self, group: str) -> Consumer:
        if group not in self._consumers:
            own = {"bootstrap.servers": self._settings.kafka_bootstrap, "group.id": group, "log_level": 0}
            self._consumers[group] = Consumer(own)
        return self._consumers[group]
