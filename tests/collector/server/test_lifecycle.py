"""The life of the process: start, settings, several processes, SIGTERM."""

import os
import re
import signal
import threading
import urllib.request
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from docker.local.kafka import KafkaServer
from docker.local.process import HOST, free_port
from docker.local.services import Service
from schemas.settings import to_environ
from tests.collector.made import track
from tests.collector.running import Running
from tests.waiting import wait_until


def test_sigterm_answers_what_is_open_takes_no_more_and_exits_with_0(own_collector: Running) -> None:
    taken: list[str] = []
    statuses: list[int] = []
    refused: list[tuple[OSError, bool]] = []
    stopping = threading.Event()

    def send(client: int) -> None:
        number = 0
        while True:
            message_id = f"{client}-{number}"
            try:
                status = own_collector.post("/v1/batch", {"batch": [track(messageId=message_id)]})
            except OSError as error:
                # Nothing but a refused connection once the port is closed; never a request cut off before its answer.
                refused.append((error, stopping.is_set()))
                return
            if status != 200:
                statuses.append(status)
                return
            taken.append(message_id)
            number += 1

    clients = [threading.Thread(target=send, args=(client,)) for client in range(8)]
    for client in clients:
        client.start()
    try:
        wait_until(lambda: len(taken) > 50, lambda: (len(taken), statuses, refused))
    finally:
        stopping.set()
        code = own_collector.service.terminate()
        for client in clients:
            client.join()
    assert code == 0
    assert statuses == []
    assert len(refused) == len(clients)
    assert all("refused" in str(error) and was_told for error, was_told in refused), refused
    found = [event["client_message_id"] for event in own_collector.raw_events()]
    assert sorted(found) == sorted(taken)


def test_readyz_is_503_before_the_port_closes(own_collector: Running) -> None:
    assert own_collector.service.get("/readyz") == (200, "ready\n")
    pid = own_collector.service.pid
    assert pid is not None
    connection = HTTPConnection(HOST, own_collector.settings.collector_port)
    connection.request("GET", "/")
    connection.getresponse().read()
    os.kill(pid, signal.SIGTERM)
    answers: list[tuple[int, str]] = []

    def refuses() -> bool:
        answers.append(own_collector.service.get("/readyz"))
        return answers[-1][0] != 200

    wait_until(refuses, lambda: answers)
    assert answers[-1] == (503, "stopping\n")
    # A connection that is open already gets one more answer, and is told that it is the last.
    connection.request("GET", "/")
    last = connection.getresponse()
    assert (last.status, last.headers["Connection"]) == (200, "close")


@pytest.fixture
def draining(tmp_path: Path, kafka_server: KafkaServer, topic_prefix: str) -> Iterator[Running]:
    """A collector that serves on for a minute after SIGTERM."""
    overrides = {"collector_drain_delay_ms": 60_000}
    collector = Running(tmp_path / "collector", kafka_server.bootstrap, topic_prefix, **overrides).prepare()
    with collector.service:
        yield collector
        collector.service.kill()


def test_readiness_goes_first_and_new_connections_are_served_until_load_balancers_have_noticed(
    draining: Running,
) -> None:
    pid = draining.service.pid
    assert pid is not None
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: draining.service.get("/readyz") == (503, "stopping\n"), draining.service.log_tail)
    for _ in range(3):
        assert draining.post("/v1/track", track()) == 200
    connection = HTTPConnection(HOST, draining.settings.collector_port)
    connection.request("GET", "/health")
    assert connection.getresponse().status == 503
    assert draining.service.exit_code is None
    assert len(draining.raw_events()) == 3


def test_metrics_tell_what_was_taken(own_collector: Running) -> None:
    assert own_collector.post("/v1/batch", {"batch": [track(), track(), {}]}) == 200
    _, text = own_collector.service.get("/metrics")
    assert 'tally_collector_events_total{outcome="accepted",reason=""} 2.0' in text
    assert 'tally_collector_events_total{outcome="dead",reason="type_unknown"} 1.0' in text
    assert 'tally_collector_requests_total{route="batch",status="200"} 1.0' in text
    assert "tally_collector_projects 1.0" in text
    assert "tally_collector_inflight_bytes 0.0" in text
    assert own_collector.service.get("/healthz") == (200, "ok\n")


@pytest.fixture
def several(tmp_path: Path, kafka_server: KafkaServer, topic_prefix: str) -> Iterator[Running]:
    """Two processes on one port."""
    overrides = {"collector_processes": 2, "collector_admin_port": free_port(2)}
    collector = Running(tmp_path / "collector", kafka_server.bootstrap, topic_prefix, **overrides).prepare()
    second = Service("collector", tmp_path / "second", collector.settings, collector.settings.collector_admin_port + 1)
    with collector.service:
        wait_for_port(second)
        yield collector


def wait_for_port(service: Service) -> None:
    wait_until(service.is_ready, service.log_tail)


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def accepted(running: Running, index: int) -> float:
    """How many events one of the processes has accepted."""
    url = f"http://{HOST}:{running.settings.collector_admin_port + index}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    found = re.search(r'events_total\{outcome="accepted",reason=""\} (\S+)', text)
    return float(found[1]) if found else 0.0


def test_processes_share_the_port_and_a_dead_one_is_replaced(several: Running) -> None:
    parent = several.service.pid
    assert parent is not None
    before = children(parent)
    assert len(before) == 2
    for _ in range(60):
        assert several.post("/v1/track", track()) == 200
    assert accepted(several, 0) + accepted(several, 1) == 60
    assert min(accepted(several, 0), accepted(several, 1)) > 0
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: len(set(children(parent)) - {before[0]}) == 2, lambda: children(parent))
    after = children(parent)
    wait_for_port(several.service)
    assert before[1] in after
    assert several.post("/v1/track", track()) == 200
    assert several.service.terminate() == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in after)


def test_processes_end_with_their_parent_however_it_ends(several: Running) -> None:
    parent = several.service.pid
    assert parent is not None
    orphans = children(parent)
    several.service.kill()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in orphans), lambda: orphans)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("TALLY_COLLECTOR_PORT", "99999", "TALLY_COLLECTOR_PORT: Input should be less than or equal to 65535"),
        ("TALLY_COLLECTOR_BODY_BYTES_MAX", "0", "TALLY_COLLECTOR_BODY_BYTES_MAX: Input should be greater than 0"),
        ("TALLY_COLLECTOR_PRT", "1", "TALLY_COLLECTOR_PRT: no such setting"),
        (
            "TALLY_COLLECTOR_TRUSTED_PROXIES",
            "10.0.0.0/33",
            "TALLY_COLLECTOR_TRUSTED_PROXIES: Value error, '10.0.0.0/33'",
        ),
        ("TALLY_COLLECTOR_PUBLIC_URL", "events.example.com", "TALLY_COLLECTOR_PUBLIC_URL: String should match pattern"),
        (
            "TALLY_COLLECTOR_BROWSER_SDKS_PATH",
            "/nowhere",
            "TALLY_COLLECTOR_BROWSER_SDKS_PATH: /nowhere/@segment/analytics",
        ),
        ("TALLY_COLLECTOR_HOST", "192.0.2.1", "TALLY_COLLECTOR_HOST, TALLY_COLLECTOR_PORT: cannot listen on 192.0.2.1"),
        ("TALLY_COLLECTOR_ADMIN_PORT", "{taken}", "TALLY_ADMIN_HOST, TALLY_COLLECTOR_ADMIN_PORT: cannot listen on"),
    ],
)
def test_a_bad_setting_names_itself_and_exits_with_2(
    running: Running, monkeypatch: pytest.MonkeyPatch, name: str, value: str, problem: str
) -> None:
    environ = to_environ(running.settings) | {"TALLY_COLLECTOR_PORT": "0", "TALLY_COLLECTOR_ADMIN_PORT": "0"}
    environ[name] = value.format(taken=running.settings.collector_admin_port)
    monkeypatch.setattr("tests.collector.running.to_environ", lambda _settings: environ)
    assert problem in running.command("run", code=2)
