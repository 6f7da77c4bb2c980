"""What lands in Kafka, as the process writes it there."""

import json
import urllib.request
from typing import Any

from tests.collector.made import is_uuid, track
from tests.collector.running import TENANT, Running
from tests.waiting import wait_until

TYPES = ("track", "identify", "page", "screen", "group", "alias")
EVENT = {"event": "E", "name": "N", "userId": "u", "anonymousId": "a", "groupId": "g", "previousId": "p"}


def test_every_route_lands_the_right_raw_event(running: Running) -> None:
    singles = [(f"/v1/{name}", event_type) for event_type in TYPES for name in (event_type, event_type[0])]
    singles += [(f"/api/s/{event_type}", event_type) for event_type in TYPES]
    singles += [(f"/api/s/s2s/{event_type}", event_type) for event_type in TYPES]
    batches = ["/v1/batch", "/v1/b", "/v1/import", "/batch", "/b", "/beacon/v1/batch"]
    for path, _ in singles:
        assert running.post(path, EVENT | {"messageId": path}) == 200
    for path in batches:
        assert running.post(path, {"batch": [EVENT | {"type": "page", "messageId": path}]}) == 200
    pixel = f"{running.url}/pixel/v1/track?writeKey={running.write_key}&event=E&userId=u&messageId=pixel"
    with urllib.request.urlopen(pixel, timeout=30) as answer:
        assert answer.status == 200
    found = {event["client_message_id"]: event for event in running.raw_events()}
    expected = dict(singles) | dict.fromkeys(batches, "page") | {"pixel": "track"}
    assert {message_id: event["event_type"] for message_id, event in found.items()} == expected
    names = {"track": "E", "page": "N", "screen": "N"}
    for event in found.values():
        assert event["event_name"] == names.get(event["event_type"], "")
        assert event["tenant_id"] == TENANT
        assert is_uuid(event["project_id"])
        assert event["ip_address"] == "127.0.0.1"
        assert event["group_id"] == ("g" if event["event_type"] == "group" else None)
        assert event["previous_id"] == ("p" if event["event_type"] == "alias" else None)


def test_a_refused_event_is_a_dead_letter_with_its_bytes_and_its_neighbours_are_stored(running: Running) -> None:
    bad = b'{ "type":"track", "userId":"u", "event":7, "n":12345678901234567890123 }'
    garbage = b'{"type":"page","userId":"u","n":NaN}'
    good = [json.dumps(track(event=name)).encode() for name in ("first", "second", "third")]
    body = b'{"batch":[' + b",".join([good[0], bad, good[1], garbage, good[2]]) + b"]}"
    assert running.post("/v1/batch", body) == 200
    assert [event["event_name"] for event in running.raw_events()] == ["first", "second", "third"]
    letters = {stored.value["payload"]: stored for stored in running.stored("dead_letters")}
    assert letters[bad].value["reason"] == "event_not_string"
    assert letters[garbage].value["reason"] == "event_not_json"
    assert len(letters) == 2
    project_id = letters[bad].value["project_id"]
    assert letters[bad].key == f"{TENANT}/{project_id}".encode()


def test_a_batch_that_is_too_long_is_answered_and_dead_lettered(running: Running) -> None:
    body = {"batch": [track(messageId=f"m{number}") for number in range(2_501)]}
    assert running.post("/v1/batch", body) == 200
    (letter,) = [stored.value for stored in running.stored("dead_letters")]
    assert letter["reason"] == "batch_too_long"
    assert json.loads(letter["payload"]) == body
    assert running.raw_events() == []


def test_events_of_one_key_stand_in_one_partition_in_the_order_they_were_answered(running: Running) -> None:
    for number in range(20):
        event = track(event=f"{number:02}")
        assert running.post("/v1/track", event | {"anonymousId": "one"}) == 200
        assert running.post("/v1/batch", {"batch": [event | {"anonymousId": f"other-{number}"}]}) == 200
    stored = running.stored("raw_events")
    own = [record for record in stored if record.value["anonymous_id"] == "one"]
    assert len({record.partition for record in own}) == 1
    assert [record.value["event_name"] for record in own] == [f"{number:02}" for number in range(20)]
    assert len({record.partition for record in stored}) == 4


def test_partitions_are_those_of_javas_partitioner(running: Running) -> None:
    for number in range(20):
        assert running.post("/v1/track", track(anonymousId=f"visitor-{number}")) == 200
    for record in running.stored("raw_events"):
        assert record.partition == (murmur2(record.key) & 0x7FFFFFFF) % 4


def murmur2(key: bytes) -> int:
    """Kafka's default hash, as its clients in every language have it."""
    multiplier, mask = 0x5BD1E995, 0xFFFFFFFF
    value = (0x9747B28C ^ len(key)) & mask
    whole = len(key) // 4 * 4
    for start in range(0, whole, 4):
        word = int.from_bytes(key[start : start + 4], "little") * multiplier & mask
        word = (word ^ word >> 24) * multiplier & mask
        value = (value * multiplier & mask) ^ word
    if rest := key[whole:]:
        value = (value ^ int.from_bytes(rest, "little")) * multiplier & mask
    value = (value ^ value >> 13) * multiplier & mask
    return value ^ value >> 15


def test_a_project_is_known_and_disabled_without_a_restart(running: Running) -> None:
    added = running.command("projects", "add", "--name", "later", "--write-key", "later-key").strip()
    assert added == "later-key"
    headers = {"Authorization": "", "X-Write-Key": "later-key"}
    wait_until(lambda: running.post("/v1/track", track(), headers) == 200, running.service.log_tail)
    running.command("projects", "disable", "later-key")
    wait_until(lambda: running.post("/v1/track", track(), headers) == 401, running.service.log_tail)
    running.command("projects", "disable", "later-key", "--undo")
    wait_until(lambda: running.post("/v1/track", track(), headers) == 200, running.service.log_tail)


def test_large_and_small_requests_together_lose_nothing(running: Running) -> None:
    sent = [{"batch": [track(messageId=f"{number}-{index}") for index in range(number % 40)]} for number in range(60)]
    for body in sent:
        assert running.post("/v1/batch", body) == 200
    expected = {event["messageId"] for body in sent for event in body["batch"]}
    found: list[Any] = [event["client_message_id"] for event in running.raw_events()]
    assert sorted(found) == sorted(expected)
