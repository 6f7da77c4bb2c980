"""Kafka away, slow, or not there yet."""

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from docker.local.kafka import KafkaServer
from docker.local.process import free_port
from docker.local.services import Service
from tests.collector.made import track
from tests.collector.running import Running
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

INFLIGHT = "tally_collector_inflight_bytes"
ACK_WAIT_MS = 5_000  # long enough to be met waiting on a machine that is busy


@pytest.fixture
def impatient(tmp_path: Path, own_kafka: KafkaServer, topic_prefix: str) -> Iterator[Running]:
    """A running collector that waits only briefly for Kafka."""
    overrides = {"collector_ack_wait_ms_max": ACK_WAIT_MS, "collector_inflight_bytes_max": 20_000}
    collector = Running(tmp_path / "collector", own_kafka.bootstrap, topic_prefix, **overrides).prepare()
    with collector.service:
        yield collector


def until_200(running: Running, message_id: str) -> None:
    """Send an event as an SDK does: until it is taken."""
    wait_until(lambda: running.post("/v1/track", track(messageId=message_id)) == 200, running.service.log_tail)


def until_inflight(running: Running, bytes_min: int) -> None:
    """Return once so many bytes wait for Kafka."""
    wait_until(lambda: running.service.metric(INFLIGHT) >= bytes_min, lambda: running.service.metric(INFLIGHT))


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
        until_inflight(impatient, 12_000)  # both: each has six events of more than 1,000 bytes
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
        try:
            own_kafka.kill()
            own_kafka.start()
        finally:
            restarted.set()

    restarting = threading.Thread(target=restart)
    restarting.start()
    number = 0
    while not restarted.is_set() or number < 20:
        number += 1
        if impatient.post("/v1/track", track(messageId=f"m{number}")) == 200:
            taken.add(f"m{number}")
        restarted.wait(0.02)
    restarting.join()
    until_200(impatient, "last")
    found = {event["client_message_id"] for event in impatient.raw_events()}
    assert taken <= found
    assert "last" in found


def refusal(running: Running, path: str, body: object, timeout_s: float) -> tuple[int, str | None, str]:
    """Status, Retry-After and code of a POST that is refused."""
    headers = {"X-Write-Key": running.write_key}
    sent = urllib.request.Request(f"{running.url}{path}", json.dumps(body).encode(), headers, method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(sent, timeout=timeout_s)
    with refused.value as answer:
        return answer.code, answer.headers["Retry-After"], json.loads(answer.read())["code"]


def test_as_it_is_set_an_outage_is_answered_within_ten_seconds_and_told_when_to_come_back(
    tmp_path: Path, own_kafka: KafkaServer, topic_prefix: str
) -> None:
    patient = Running(tmp_path / "collector", own_kafka.bootstrap, topic_prefix).prepare()
    assert patient.settings.collector_ack_wait_ms_max == 10_000
    with patient.service:
        assert patient.post("/v1/track", track(messageId="before")) == 200
        own_kafka.suspend()
        try:
            sent = (("/v1/track", track(messageId="a")), ("/v1/batch", {"batch": [track(messageId="b")]}))
            with ThreadPoolExecutor(2) as pool:
                # Twice as long as it waits: slow machines are no failure, hanging is.
                found = list(pool.map(lambda request: refusal(patient, request[0], request[1], 20), sent))
            assert found == [(503, "5", "unavailable")] * 2
        finally:
            own_kafka.resume()
        for message_id in ("a", "b"):
            until_200(patient, message_id)
        assert {event["client_message_id"] for event in patient.raw_events()} == {"before", "a", "b"}


def stop_while_one_waits(running: Running, message_id: str) -> tuple[list[int], threading.Thread, list[int]]:
    """Send an event and then SIGTERM: where its status will be, who waits for it, where the exit code will be."""
    statuses: list[int] = []
    codes: list[int] = []
    client = threading.Thread(target=lambda: statuses.append(running.post("/v1/track", track(messageId=message_id))))
    client.start()
    until_inflight(running, 1)
    stopping = threading.Thread(target=lambda: codes.append(running.service.terminate()))
    stopping.start()

    def both() -> None:
        client.join()
        stopping.join()

    waiting = threading.Thread(target=both)
    waiting.start()
    return statuses, waiting, codes


def test_sigterm_while_kafka_hangs_waits_for_it(impatient: Running, own_kafka: KafkaServer) -> None:
    assert impatient.post("/v1/track", track(messageId="before")) == 200
    own_kafka.suspend()
    try:
        statuses, waiting, codes = stop_while_one_waits(impatient, "during")
        wait_until(lambda: impatient.service.get("/readyz") == (503, "stopping\n"), impatient.service.log_tail)
        assert (statuses, codes) == ([], [])
    finally:
        own_kafka.resume()
    waiting.join(60)
    assert (statuses, codes) == ([200], [0])
    assert {event["client_message_id"] for event in impatient.raw_events()} == {"before", "during"}


def test_sigterm_while_kafka_stays_away_ends_with_a_503(impatient: Running, own_kafka: KafkaServer) -> None:
    assert impatient.post("/v1/track", track(messageId="before")) == 200
    own_kafka.suspend()
    try:
        statuses, waiting, codes = stop_while_one_waits(impatient, "during")
        waiting.join(60)
        assert statuses == [503]
        assert len(codes) == 1
    finally:
        own_kafka.resume()


class Early(Service):
    """A collector that counts as started once its admin port answers, ready or not."""

    def is_ready(self) -> bool:
        try:
            return self.get("/healthz")[0] == 200
        except OSError:
            return False


def talks_to(service: Service, port: int) -> bool:
    """Whether a process has a connection to a server on this machine."""
    connections = psutil.Process(service.pid).net_connections("tcp")
    return any(one.status == psutil.CONN_ESTABLISHED and one.raddr.port == port for one in connections)


def test_started_before_kafka_and_its_topics_it_says_503_and_becomes_ready(tmp_path: Path, topic_prefix: str) -> None:
    kafka = KafkaServer(tmp_path / "kafka", port=free_port())
    collector = Running(tmp_path / "collector", kafka.bootstrap, topic_prefix)
    with Early("collector", tmp_path / "early", collector.settings, collector.settings.collector_admin_port) as early:
        assert early.get("/readyz")[0] == 503
        assert collector.post("/v1/track", track()) == 503
        with kafka:
            wait_until(lambda: talks_to(early, kafka.port), early.log_tail)
            assert early.get("/readyz")[0] == 503
            collector.prepare()
            until_200(collector, "first")
            assert early.get("/readyz")[0] == 200
            assert [event["client_message_id"] for event in collector.raw_events()] == ["first"]
