"""Kafka away, slow, or not there yet."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from docker.local.kafka import KafkaServer
from docker.local.process import free_port
from schemas.apply_topics import apply_topics
from tests.collector.made import track
from tests.collector.running import Running
from tests.pipeline import Service

ACK_WAIT_MS = 1_500


@pytest.fixture
def impatient(tmp_path: Path, own_kafka: KafkaServer, topic_prefix: str) -> Iterator[Running]:
    """A running collector that waits only briefly for Kafka."""
    overrides = {"collector_ack_wait_ms_max": ACK_WAIT_MS, "collector_inflight_bytes_max": 20_000}
    collector = Running(tmp_path / "collector", own_kafka.bootstrap, topic_prefix, **overrides).prepare()
    with collector.service:
        yield collector


def until_200(running: Running, message_id: str) -> None:
    """Send an event as an SDK does: until it is taken."""
    give_up_at = time.monotonic() + 60
    while running.post("/v1/track", track(messageId=message_id)) != 200:
        assert time.monotonic() < give_up_at, running.service.log_tail()
        time.sleep(0.2)


def test_while_kafka_hangs_the_answer_is_503_and_afterwards_200(impatient: Running, own_kafka: KafkaServer) -> None:
    assert impatient.post("/v1/track", track(messageId="before")) == 200
    own_kafka.suspend()
    try:
        started = time.monotonic()
        assert impatient.post("/v1/track", track(messageId="during")) == 503
        assert time.monotonic() - started > ACK_WAIT_MS / 1000 * 0.9  # it did wait
    finally:
        own_kafka.resume()
    until_200(impatient, "during")
    until_200(impatient, "after")
    # "during" may stand twice: streams deduplicate by its message id.
    assert {event["client_message_id"] for event in impatient.raw_events()} == {"before", "during", "after"}


def test_what_waits_is_bounded_and_beyond_it_the_answer_is_503_at_once(
    impatient: Running, own_kafka: KafkaServer
) -> None:
    body = {"batch": [track(properties={"p": "x" * 1000})] * 6}
    statuses: list[int] = []
    assert impatient.post("/v1/batch", body) == 200
    own_kafka.suspend()
    try:
        waiting = [
            threading.Thread(target=lambda: statuses.append(impatient.post("/v1/batch", body))) for _ in range(2)
        ]
        for thread in waiting:
            thread.start()
        time.sleep(0.5)
        assert impatient.post("/v1/batch", body) == 503
        assert statuses == []  # the two still wait: the third was refused because of them
        for thread in waiting:
            thread.join()
        assert statuses == [503, 503]
    finally:
        own_kafka.resume()
    until_200(impatient, "after")


def test_every_200_survives_a_broker_killed_and_restarted(impatient: Running, own_kafka: KafkaServer) -> None:
    taken: set[str] = set()
    restarted = threading.Event()

    def restart() -> None:
        own_kafka.kill()
        own_kafka.start()
        restarted.set()

    threading.Thread(target=restart).start()
    number = 0
    while not restarted.is_set() or number < 20:
        number += 1
        if impatient.post("/v1/track", track(messageId=f"m{number}")) == 200:
            taken.add(f"m{number}")
        time.sleep(0.02)
    until_200(impatient, "last")
    found = {event["client_message_id"] for event in impatient.raw_events()}
    assert taken <= found
    assert "last" in found


class Early(Service):
    """A collector that counts as started once its admin port answers, ready or not."""

    def is_ready(self) -> bool:
        try:
            return self.get("/healthz")[0] == 200
        except OSError:
            return False


def test_started_before_kafka_and_its_topics_it_says_503_and_becomes_ready(tmp_path: Path, topic_prefix: str) -> None:
    kafka = KafkaServer(tmp_path / "kafka", port=free_port())
    collector = Running(tmp_path / "collector", kafka.bootstrap, topic_prefix)
    collector.write_key = "early-key"
    with Early("collector", tmp_path / "early", collector.settings, collector.settings.collector_admin_port) as early:
        assert early.get("/readyz")[0] == 503
        assert collector.post("/v1/track", track()) == 503
        with kafka:
            time.sleep(1)  # time to find out that the topic is missing
            assert early.get("/readyz")[0] == 503
            apply_topics(collector.settings)
            collector.command("projects", "add", "--name", "early", "--write-key", "early-key")
            until_200(collector, "first")
            assert early.get("/readyz")[0] == 200
            assert [event["client_message_id"] for event in collector.raw_events()] == ["first"]
