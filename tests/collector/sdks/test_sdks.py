"""The SDKs people use already, unmodified, against the running collector."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import rudderstack.analytics as rudder
from segment.analytics.client import Client as SegmentClient

from docker.local.packages import fetch
from docker.local.tools import require_tool
from tests.collector.running import Running
from tests.collector.sdks.programs import run, stored_by_type

_SCRIPTS = Path(__file__).parent


def run_node(script: str, running: Running, *more: str) -> None:
    """Run one of the scripts in `sdks/`; it must end with 0."""
    command = [require_tool("node"), str(_SCRIPTS / script), running.url, running.write_key, *more]
    run(command, NODE_PATH=str(fetch("sdks") / "node_modules"))


@pytest.mark.parametrize("gzip", [False, True])
def test_segment_analytics_python(running: Running, gzip: bool) -> None:
    failures: list[object] = []
    client = SegmentClient(
        running.write_key, host=running.url, gzip=gzip, on_error=lambda error, _: failures.append(error)
    )
    client.track("u1", "Order Completed", {"price": 12.5}, message_id="m-1")
    client.identify("u1", {"plan": "pro"}, anonymous_id="a1")
    client.page("u1", "Docs", "Start", {"url": "https://example.com/docs"})
    client.screen("u1", "Docs", "Home")
    client.group("u1", "g1", {"size": 3})
    client.alias("a1", "u1")
    client.shutdown()
    assert failures == []
    found = stored_by_type(running)
    assert set(found) == {"track", "identify", "page", "screen", "group", "alias"}
    assert (found["track"]["event_name"], found["track"]["properties"]) == ("Order Completed", '{"price": 12.5}')
    assert found["track"]["client_message_id"] == "m-1"
    assert found["identify"]["anonymous_id"] == "a1"
    assert json.loads(found["identify"]["properties"]) == {"plan": "pro"}
    assert json.loads(found["page"]["context"])["tally"] == {"category": "Docs"}
    assert json.loads(found["track"]["context"])["library"]["name"] == "analytics-python"
    assert (found["group"]["group_id"], found["alias"]["previous_id"]) == ("g1", "a1")
    # The client's clock is this machine's: what is left of the skew is the way here.
    for event in found.values():
        assert abs((event["received_at"] - event["timestamp"]).total_seconds()) < 60


def test_segment_analytics_python_takes_a_nan_for_granted_and_only_that_event_is_lost(running: Running) -> None:
    client = SegmentClient(running.write_key, host=running.url)
    client.track("u1", "before")
    client.track("u1", "broken", {"ratio": float("nan")})
    client.track("u1", "after")
    client.shutdown()
    assert sorted(event["event_name"] for event in running.raw_events()) == ["after", "before"]
    (letter,) = running.stored("dead_letters")
    assert letter.value["reason"] == "event_not_json"
    assert b'"ratio": NaN' in letter.value["payload"]


def test_segment_analytics_python_reports_a_wrong_key(running: Running) -> None:
    failures: list[object] = []
    client = SegmentClient("wrong", host=running.url, on_error=lambda error, _: failures.append(error), max_retries=0)
    client.track("u1", "Order Completed")
    client.shutdown()
    assert "write_key_unknown" in str(failures[0])


def test_rudder_sdk_python(running: Running) -> None:
    failures: list[object] = []
    rudder.write_key, rudder.dataPlaneUrl = running.write_key, running.url
    rudder.on_error = lambda error, _: failures.append(error)
    rudder.track("u1", "Order Completed", {"price": 12.5})
    rudder.identify("u1", {"plan": "pro"})
    rudder.shutdown()
    rudder.default_client = None
    assert failures == []
    found = stored_by_type(running)
    assert set(found) == {"track", "identify"}
    assert json.loads(found["track"]["properties"]) == {"price": 12.5}


def test_segment_analytics_node(running: Running) -> None:
    told = datetime.now(UTC).replace(microsecond=678_000) - timedelta(days=30)
    run_node("segment_node.cjs", running, told.isoformat())
    found = stored_by_type(running)
    assert set(found) == {"track", "identify", "page", "screen", "group", "alias"}
    track = found["track"]
    assert track["client_message_id"].startswith("node-next-")
    assert json.loads(track["properties"]) == {"price": 12.5, "big": 9007199254740991}
    # Less what the node process and the way here took: the client's clock is set right by when it sent.
    assert abs((track["timestamp"] - told).total_seconds()) < 60
    assert json.loads(track["context"])["library"]["name"] == "@segment/analytics-node"
    assert found["page"]["event_name"] == "Start"
    assert json.loads(found["page"]["context"])["tally"] == {"category": "Docs"}
    assert found["identify"]["user_id"] == "u1"


def test_segment_analytics_js(running: Running) -> None:
    run_node("segment_browser.cjs", running)
    found = stored_by_type(running)
    assert set(found) == {"track", "identify", "page"}
    track = found["track"]
    context = json.loads(track["context"])
    assert context["page"]["url"].startswith("https://shop.example/start")
    assert context["campaign"] == {"source": "mail", "name": "autumn"}
    assert track["user_agent"].startswith("Mozilla/5.0 (X11; Linux x86_64)")
    assert track["user_id"] == "u1"
    assert len({event["anonymous_id"] for event in found.values()}) == 1
    assert track["client_message_id"].startswith("ajs-next-")


def test_rudder_sdk_node(running: Running) -> None:
    run_node("rudder_node.cjs", running)
    found = stored_by_type(running)
    assert set(found) == {"track", "identify", "page"}
    assert found["track"]["client_session_id"] == "1795000000000"


def test_jitsu(running: Running) -> None:
    run_node("jitsu.cjs", running)
    found = stored_by_type(running)
    assert set(found) == {"track", "identify", "page"}
    assert found["track"]["event_name"] == "Order Completed"
    assert json.loads(found["track"]["properties"])["price"] == 12.5
