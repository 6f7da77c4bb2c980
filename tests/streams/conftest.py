"""Topics of a test's own on the shared Kafka, and workers that end with the test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from docker.local.kafka import KafkaServer
from tests.streams.rig import StreamsRig


@pytest.fixture
def rig(tmp_path: Path, kafka_server: KafkaServer, topic_prefix: str) -> Iterator[StreamsRig]:
    """Topics, a producer, and no worker yet."""
    with StreamsRig(tmp_path, kafka_server, topic_prefix) as rig:
        yield rig
