"""`replay` on a running pipeline: events come out as they were sent then, once, and one dead letter stays one."""

import json
import uuid
from typing import Any

import pytest

from docker.local.services import CommandFailedError, Pipeline
from schemas.codec import Codec
from schemas.registry import open_ids
from tests.end_to_end.asking import ask, lands, rows
from tests.end_to_end.test_accounting import ledger
from tests.kafka import Kafka

LARGE = {"text": "x" * 40_000}


def replay(shop: Pipeline, *options: str) -> str:
    return shop.run("sinks", "replay", "--project", shop.project_id, *options)


def raise_the_limit(shop: Pipeline, event_bytes_max: int | None) -> None:
    """Restart the collector with another limit of an event's bytes."""
    shop.collector.stop()
    name = "TALLY_COLLECTOR_EVENT_BYTES_MAX"
    shop.collector.extra_environ = {} if event_bytes_max is None else {name: str(event_bytes_max)}
    shop.collector.start()


@pytest.fixture
def with_high_limit(shop: Pipeline) -> Any:
    """Calls it to raise the limit; the shared collector has its own again afterwards."""
    yield lambda: raise_the_limit(shop, 100_000)
    raise_the_limit(shop, None)


def test_an_event_that_was_too_large_is_stored_as_it_was_sent_once_the_limit_is_raised(
    shop: Pipeline, with_high_limit: Any
) -> None:
    headers = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"}
    single = {"anonymousId": "v", "event": "Single", "properties": LARGE, "context": {"ip": "203.0.113.77"}}
    assert shop.post("/v1/track", single, headers=headers)[0] == 200  # by its route, without a type or a messageId
    inner = {"type": "page", "name": "In a batch", "anonymousId": "v", "timestamp": "2026-11-18T10:00:00.000Z"}
    batch = {
        "batch": [inner | {"properties": LARGE, "messageId": f"m-{uuid.uuid4()}"}],
        "sentAt": "2026-11-18T10:00:05.000Z",
        "context": {"locale": "de-DE"},
    }
    assert shop.post("/v1/batch", batch, headers=headers)[0] == 200
    lands(shop, "count() = 2", "dead_letters FINAL")
    came = ask(shop, "toUnixTimestamp64Milli(max(first_seen_at))", "dead_letters").strip()
    with pytest.raises(CommandFailedError, match=r"0 sent, 2 not"):
        replay(shop)
    with_high_limit()
    assert "2 sent, 0 not" in replay(shop)
    lands(shop, "count() = 2", "events")
    page, track = sorted(rows(shop, "events"), key=lambda row: str(row["event_type"]))
    assert (track["event_type"], track["ip_address"], track["browser_name"]) == ("track", "203.0.113.77", "Firefox")
    assert json.loads(page["context"])["locale"] == "de-DE"
    late = ask(
        shop, "toUnixTimestamp64Milli(received_at) - toUnixTimestamp64Milli(timestamp)", "events", "event_type = 'page'"
    )
    assert 4_000 < int(late) < 6_000  # 5 s by the client's own clock, whenever it is sent again
    assert int(ask(shop, "toUnixTimestamp64Milli(max(received_at))", "events")) <= int(came)
    assert all("replay_of" in json.loads(row["context"])["tally"] for row in (page, track))

    assert "no dead letters fit" in replay(shop)
    assert "0 sent, 0 not, 2 stored already" in replay(shop, "--replayed")
    lands(shop, "count() = 2", "events")
    assert ledger(shop)["sound"]


def test_one_dead_letter_of_streams_stays_one_however_often_it_fails(shop: Pipeline) -> None:
    codec = Codec("raw_events", open_ids(None))
    shop.post("/v1/track", {"anonymousId": "v", "event": "Good"})
    lands(shop, "count() = 1", "events")
    kafka = Kafka(shop.settings)
    (good,) = [record for record in kafka.read("raw_events") if shop.project_id.encode() in (record.key or b"")]
    broken = codec.decode(good.value or b"") | {"event_id": "no uuid", "message_id": str(uuid.uuid4())}
    kafka.produce("raw_events", [(good.key, codec.encode(broken))], good.partition)
    lands(shop, "count() = 1", "dead_letters FINAL")
    first, place = ask(shop, "dead_letter_id, source_offset", "dead_letters FINAL").split()
    for times in range(1, 4):
        assert "1 sent, 0 not" in replay(shop)
        lands(shop, f"countIf(outcome = 'sent') = {times}", "dead_letter_replays FINAL")
        lands(shop, f"max(source_offset) > {place}", "dead_letters")
        shop.query("OPTIMIZE TABLE dead_letters FINAL")
        again, place = ask(shop, "dead_letter_id, source_offset", "dead_letters").split()
        assert again == first
        listed = shop.run("sinks", "dead-letters", "list", "--project", shop.project_id)
        assert listed.count(first) == 1
    found = ledger(shop)
    assert found["sound"], found
    assert found["projects"][shop.project_id] == {"accepted": 5, "stored": 1, "dead": 4}  # each place once
