"""How Tally's processes talk to Kafka through librdkafka: the settings that the delivery promise rests on."""

from collections.abc import Mapping
from typing import Any

from schemas.settings import MESSAGE_BYTES_MAX, Settings


def producer_config(settings: Settings, **overrides: Any) -> dict[str, Any]:
    """An idempotent producer with acks=all: what it reports as delivered is on every in-sync replica, once, in order.

    Overrides are librdkafka names with '_' for '.'.
    """
    config: dict[str, Any] = {
        "bootstrap.servers": settings.kafka_bootstrap,
        "enable.idempotence": True,
        "acks": "all",
        "compression.type": "lz4",
        # Java's and aiokafka's partitioner; librdkafka's own default would scatter one key over two partitions.
        "partitioner": "murmur2_random",
        "message.max.bytes": MESSAGE_BYTES_MAX,
    }
    return config | _dotted(overrides)


def consumer_config(settings: Settings, group: str, **overrides: Any) -> dict[str, Any]:
    """A consumer that commits only what it is told to, and starts a new group at the beginning."""
    config: dict[str, Any] = {
        "bootstrap.servers": settings.kafka_bootstrap,
        "group.id": f"{settings.topic_prefix}{group}",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "partition.assignment.strategy": "cooperative-sticky",
        "enable.partition.eof": False,
    }
    return config | _dotted(overrides)


def _dotted(overrides: Mapping[str, Any]) -> dict[str, Any]:
    # log_level is the one name that librdkafka spells with an underscore.
    return {name if name == "log_level" else name.replace("_", "."): value for name, value in overrides.items()}
