"""Whether anything is still under way: what the groups have not acknowledged, and what stands in the topics."""

from typing import Final

from schemas.settings import Settings
from schemas.topics import streams_group
from tests.kafka import Kafka

_SINK_TOPICS: Final = ("enriched_events", "sessions", "identities", "identity_changes", "dead_letters", "projects")
_TIMEOUT_S: Final = 5.0


class Groups:
    """The groups of one pipeline. Every question raises KafkaException when Kafka does not answer."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kafka = Kafka(settings, _TIMEOUT_S)

    def lag(self) -> int:
        """Records that are not acknowledged yet, of all groups."""
        settings = self._settings
        prefix = f"{settings.topic_prefix}{settings.sinks_group}"
        of_streams = [(settings.topic(streams_group(settings)), topic) for topic in ("raw_events", "identity_claims")]
        of_sinks = [(f"{prefix}-{topic}", topic) for topic in _SINK_TOPICS]
        return sum(self._kafka.lag(group, topic) for group, topic in [*of_streams, *of_sinks])

    def records(self, topic: str) -> int:
        """How many a topic holds."""
        return sum(high - low for low, high in self._kafka.bounds(topic))

    def close(self) -> None:
        """Let go of the connections."""
        self._kafka.disconnect()
