"""The webhook and the commands, as a process between Meta's POSTs and a real Kafka."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from docker.local.kafka import KafkaServer
from tests.collector.running import Running, read_topic
from tests.collector.whatsapp.payloads import (
    APP,
    CARLA,
    NUMBER,
    PHONE,
    VERIFY,
    apps_file,
    change,
    contact,
    hook,
    signature,
    text,
)
from tests.waiting import wait_until

SECRETS = {
    "collector_handshake_secret": "invented handshake secret",
    "collector_whatsapp_ids_secret": "invented ids secret",
}
PATH = f"/v1/whatsapp/{APP}"


@pytest.fixture(scope="module")
def hooked(kafka_server: KafkaServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A process with an app, whose project has a number."""
    home = tmp_path_factory.mktemp("whatsapp")
    apps = {"collector_whatsapp_apps_path": str(apps_file(home))}
    running = Running(home / "collector", kafka_server.bootstrap, "whatsapp_", **SECRETS, **apps).prepare()
    number = ("--number", NUMBER, "--phone", PHONE, "--default-sender", "unknown")
    with running.service:
        running.command("projects", "whatsapp", running.write_key, *number, "--app", APP)
        wait_until(lambda: mint(running) is not None, running.service.log_tail)
        yield running
        assert running.service.terminate() == 0


def mint(running: Running) -> dict[str, Any] | None:
    """A token; None when it is refused."""
    body = json.dumps({"writeKey": running.write_key, "anonymousId": "visitor-1", "sessionId": "s1"}).encode()
    try:
        with urllib.request.urlopen(f"{running.url}/v1/handshake", body, timeout=30) as answer:
            minted: dict[str, Any] = json.load(answer)
            return minted
    except urllib.error.HTTPError as error:
        with error:
            return None


def test_a_signed_body_is_stored_and_its_repeat_is_the_same_event(hooked: Running) -> None:
    minted = mint(hooked)
    assert minted is not None
    body = hook(change(contacts=[contact()], messages=[text("server", f"Olá {minted['token'].lower()}")]))
    for _ in range(2):
        assert hooked.post(PATH, body, signature(body)) == 200
    received = [event for event in hooked.raw_events() if event["origin"] == "whatsapp"]
    assert len(received) == 2
    assert len({event["message_id"] for event in received}) == 1
    assert received[0]["user_id"] == f"whatsapp:{CARLA[1]}"
    assert json.loads(received[0]["properties"])["handshake_token"] == minted["token"]
    (created, *_) = [event for event in hooked.raw_events() if event["origin"] == "handshake"]
    assert (created["anonymous_id"], created["client_session_id"]) == ("visitor-1", "s1")


def test_what_is_not_signed_is_401_and_on_no_topic(hooked: Running) -> None:
    before = [len(read_topic(hooked.settings, topic)) for topic in ("raw_events", "dead_letters")]
    body = hook(change(messages=[text("unsigned", "x")]))
    for headers in ({}, signature(body, "another app's secret"), signature(body + b" ")):
        assert hooked.post(PATH, body, headers) == 401
    assert [len(read_topic(hooked.settings, topic)) for topic in ("raw_events", "dead_letters")] == before


def test_a_number_belongs_to_one_enabled_project(hooked: Running) -> None:
    settings = json.dumps({"whatsapp": {"numbers": {NUMBER: {"phone": PHONE}}}})
    said = hooked.command("projects", "add", "--name", "Second", "--settings", settings, code=1)
    assert NUMBER in said
    assert hooked.project_id in said


def test_a_file_that_others_may_read_ends_the_start_with_2(tmp_path: Path, hooked: Running) -> None:
    path = apps_file(tmp_path, shop={"app_secrets": ["a"], "verify_token": VERIFY})
    path.chmod(0o644)
    other = Running(tmp_path / "c", hooked.settings.kafka_bootstrap, "x_", collector_whatsapp_apps_path=str(path))
    assert "chmod 600" in other.command("run", code=2)
