"""Requests made to harm: limits on every route, lines smuggled into headers and logs, made-up addresses and tenants."""

import asyncio
import gzip
import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import ClientSession

from collector.http.routes import INITIALS
from docker.local.kafka import KafkaServer
from docker.local.process import HOST
from tests.collector.conftest import Serve
from tests.collector.made import PROJECT_ID, TENANT_ID, WRITE_KEY, directory_of, project_fields, track
from tests.collector.posting import BASIC, post
from tests.collector.running import Running
from tests.collector.wire import EVENT, KEY, Wire, request

TYPES = ("track", "identify", "page", "screen", "group", "alias")
SINGLE_ROUTES = [
    f"{prefix}{name}" for prefix in ("/v1/", "/api/s/", "/api/s/s2s/") for name in (*TYPES, *sorted(INITIALS))
]
BATCH_ROUTES = ["/v1/batch", "/v1/b", "/v1/batch/b", "/v1/import", "/batch", "/b", "/beacon/v1/batch", "/batch/b"]
BATCH_ROUTES += [f"/api/s/{name}" for name in ("batch", "b", "s2s/batch", "s2s/b")]
EVENT_BYTES_MAX = 32 * 1024
BODY_BYTES_MAX = 512_000
BATCH_EVENTS_MAX = 2_500


def event_of(size: int) -> bytes:
    """An event of so many bytes that is in order on every route."""
    members = {"type": "track", "event": "E", "userId": "u", "groupId": "g", "previousId": "p", "properties": {"p": ""}}
    return json.dumps(members | {"properties": {"p": "x" * (size - len(json.dumps(members)))}}).encode()


@pytest.mark.parametrize("path", SINGLE_ROUTES)
async def test_an_event_is_bounded_on_every_route_for_one(client: ClientSession, serve: Serve, path: str) -> None:
    served = await serve()
    assert (await post(client, served, path, event_of(EVENT_BYTES_MAX)))[0] == 200
    assert (await post(client, served, path, event_of(EVENT_BYTES_MAX + 1)))[0] == 200
    assert len(served.publisher.decoded("raw_events")) == 1
    (letter,) = served.publisher.decoded("dead_letters")
    assert letter["reason"] == "event_too_large"
    assert letter["payload"] == event_of(EVENT_BYTES_MAX + 1)


@pytest.mark.parametrize("path", BATCH_ROUTES)
async def test_events_and_their_number_are_bounded_on_every_route_for_batches(
    client: ClientSession, serve: Serve, path: str
) -> None:
    served = await serve()
    within, beyond = event_of(EVENT_BYTES_MAX), event_of(EVENT_BYTES_MAX + 1)
    assert (await post(client, served, path, b'{"batch":[' + within + b"," + beyond + b"]}"))[0] == 200
    assert len(served.publisher.decoded("raw_events")) == 1
    assert [letter["payload"] for letter in served.publisher.decoded("dead_letters")] == [beyond]
    for count, expected, records in ((BATCH_EVENTS_MAX, "raw_events", BATCH_EVENTS_MAX), (2_501, "dead_letters", 1)):
        served.publisher.records.clear()
        assert (await post(client, served, path, {"batch": [track()] * count}))[0] == 200
        assert [topic for topic, _ in served.publisher.records] == [expected] * records


@pytest.mark.parametrize("path", ["/v1/m", *BATCH_ROUTES, *SINGLE_ROUTES[:12]])
async def test_a_body_is_bounded_on_every_route_packed_or_not(client: ClientSession, serve: Serve, path: str) -> None:
    served = await serve()
    served.publisher.slack = BODY_BYTES_MAX  # of the spaces
    event = b'{"type":"track","event":"E","userId":"u","groupId":"g","previousId":"p"}'
    body = b'{"batch":[' + event + b"]}" if path in BATCH_ROUTES else event
    largest = body + b" " * (BODY_BYTES_MAX - len(body))
    for sent, headers in ((largest, BASIC), (gzip.compress(largest), BASIC | {"Content-Encoding": "gzip"})):
        assert (await post(client, served, path, sent, headers))[0] == 200
    assert (await post(client, served, path, largest + b" "))[0] == 400
    if path != "/v1/m":  # whose bodies nobody unpacks
        assert (await post(client, served, path, gzip.compress(largest + b" ")))[0] == 400
        assert len(served.publisher.decoded("raw_events")) == 2
    assert served.publisher.decoded("dead_letters") == []


async def test_a_batchs_context_cannot_be_multiplied_into_gigabytes(client: ClientSession, serve: Serve) -> None:
    served = await serve()
    events = [{"type": "page", "userId": "u"}] * 2_000
    for size, expected in ((1_000, "raw_events"), (3_000, "dead_letters"), (400_000, "dead_letters")):
        served.publisher.records.clear()
        served.publisher.slack = 2 * size
        body = {"batch": events, "context": {"c": "x" * size}}
        assert (await post(client, served, "/v1/batch", body))[0] == 200
        assert {topic for topic, _ in served.publisher.records} == {expected}
        assert len(served.publisher.records) == 2_000
        assert sum(len(record["value"]) for _, record in served.publisher.records) < 4 * 2**20
    served.publisher.records.clear()
    await post(client, served, "/v1/batch", {"batch": events[:1], "context": {"c": "x" * EVENT_BYTES_MAX}})
    assert [letter["reason"] for letter in served.publisher.decoded("dead_letters")] == ["event_too_large"]


@pytest.mark.parametrize("evil", [b"https://a\rSet-Cookie: x=1", b"https://a\nSet-Cookie: x=1", b"https://a\0b"])
@pytest.mark.parametrize("header", [b"Origin", b"Host", b"User-Agent", b"Authorization", b"X-Write-Key"])
async def test_a_broken_header_line_is_refused_and_echoed_nowhere(serve: Serve, header: bytes, evil: bytes) -> None:
    served = await serve()
    wire = await Wire.to(served)
    wire.writer.write(request().replace(b"Host: h\r\n", b"Host: h\r\n" + header + b": " + evil + b"\r\n"))
    status, headers, _ = await wire.answer()
    assert status == 400
    assert "set-cookie" not in headers
    assert served.publisher.records == []


@pytest.mark.parametrize(
    "target",
    [
        "/v1/projects/%0d%0aSet-Cookie:x=1/settings",
        "/pixel/v1/track?writeKey=%0d%0aSet-Cookie:x=1&userId=u&event=E",
        f"/pixel/v1/track?writeKey={WRITE_KEY}&userId=%0d%0aSet-Cookie:x=1&event=%0d%0aSet-Cookie:x=1",
        "/%0d%0aSet-Cookie:x=1",
    ],
)
async def test_escaped_line_ends_stay_what_they_are(serve: Serve, target: str) -> None:
    served = await serve()
    wire = await Wire.to(served)
    wire.writer.write(f"GET {target} HTTP/1.1\r\nHost: h\r\nOrigin: https://a\r\n\r\n".encode())
    _, headers, _ = await wire.answer()
    assert "set-cookie" not in headers
    for event in served.publisher.decoded("raw_events"):
        assert event["user_id"] == event["event_name"] == "\r\nSet-Cookie:x=1"


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"User-Agent: caf\xe9 \xff/1", 200),
        (b"Origin: \xff\xfe", 200),
        (b"X-Forwarded-For: \xff, 1.1.1.1", 200),
        (b"Content-Encoding: \xff", 400),
        (b"Cookie: \xff", 200),
    ],
)
async def test_headers_that_are_no_utf8_are_no_failure(serve: Serve, line: bytes, status: int) -> None:
    served = await serve(collector_trusted_proxies="127.0.0.0/8")
    wire = await Wire.to(served)
    wire.writer.write(request().replace(b"Host: h", b"Host: h\r\n" + line))
    assert (await wire.answer())[0] == status
    for event in served.publisher.decoded("raw_events"):
        assert event["user_agent"] in ("", "caf\ufffd \ufffd/1")


@pytest.mark.parametrize(
    "key", [b"Basic \xff\xfe", b"Basic \xc3\xa9", b"Basic a", b"Basic =", b"Basic \xff" * 9, b"Basic"]
)
async def test_credentials_that_are_none_are_401(serve: Serve, key: bytes) -> None:
    served = await serve()
    wire = await Wire.to(served)
    wire.writer.write(request().replace(b"Basic " + KEY.encode(), key))
    assert (await wire.answer())[0] == 401


async def test_there_are_no_settings_for_a_host_that_is_none(serve: Serve) -> None:
    served = await serve()
    wire = await Wire.to(served)
    path = f"/v1/projects/{WRITE_KEY}/settings"
    wire.writer.write(f"GET {path} HTTP/1.1\r\nHost: ".encode() + b'\xff"<script>\\' + b"\r\n\r\n")
    status, _, body = await wire.answer()
    assert status == 400
    assert b"script" not in body


OTHER = {"tenantId": "evil", "tenant_id": "evil", "projectId": "evil", "project_id": "evil", "tenant": "evil"}
OTHER_HEADERS = {"X-Tenant-Id": "evil", "X-Project-Id": "evil", "Tenant-Id": "evil", "X-Scope-OrgID": "evil"}


async def test_tenant_and_project_are_the_keys_whatever_a_request_says(client: ClientSession, serve: Serve) -> None:
    served = await serve(directory_of(project_fields(), project_fields(write_key="evil", tenant_id="evil")))
    headers = BASIC | OTHER_HEADERS
    inside: dict[str, Any] = track() | OTHER | {"context": OTHER, "properties": OTHER, "traits": OTHER}
    query = "&".join(f"{name}={value}" for name, value in OTHER.items())
    await post(client, served, f"/v1/track?{query}", inside, headers)
    await post(client, served, f"/v1/track?{query}", inside | {"userId": [], "anonymousId": []}, headers)
    batch = OTHER | {"batch": [inside, inside | {"type": "none"}], "context": OTHER, "writeKey": "evil"}
    await post(client, served, f"/v1/batch?{query}", batch, headers)
    pixel = f"{served.url}/pixel/v1/track?writeKey={WRITE_KEY}&{query}&userId=u&event=E"
    async with client.get(pixel, headers=OTHER_HEADERS) as answer:
        assert answer.status == 200
    events, letters = served.publisher.decoded("raw_events"), served.publisher.decoded("dead_letters")
    assert (len(events), len(letters)) == (3, 2)
    assert {(one["tenant_id"], one["project_id"]) for one in events + letters} == {(TENANT_ID, PROJECT_ID)}
    assert all(record["key"].startswith(f"{TENANT_ID}/{PROJECT_ID}".encode()) for _, record in served.publisher.records)


@pytest.mark.parametrize("trusted", ["", "10.0.0.0/8", "127.0.0.0/8"])
async def test_addresses_that_a_client_makes_up_are_not_believed(
    client: ClientSession, serve: Serve, trusted: str
) -> None:
    served = await serve(collector_trusted_proxies=trusted)
    made_up = ("X-Real-IP", "CF-Connecting-IP", "True-Client-IP", "X-Client-IP", "X-Forwarded-Host")
    said = dict.fromkeys(made_up, "198.51.100.1") | {"Forwarded": "for=198.51.100.1"}
    await post(client, served, "/v1/track", EVENT, BASIC | said)
    expected = "198.51.100.1" if trusted == "127.0.0.0/8" else "127.0.0.1"
    assert served.publisher.decoded("raw_events")[0]["ip_address"] == expected
    # Of a chain through a trusted proxy, what stands left of the first stranger is the stranger's own claim.
    await post(client, served, "/v1/track", EVENT, BASIC | {"X-Forwarded-For": "198.51.100.1, 203.0.113.9"})
    expected = "203.0.113.9" if trusted == "127.0.0.0/8" else "127.0.0.1"
    assert served.publisher.decoded("raw_events")[1]["ip_address"] == expected


SMUGGLED = '\n{"event":"SMUGGLED","level":"error"}\r\n\x1b[31mSMUGGLED\x1b[0m\u2028SMUGGLED"}'


@pytest.fixture
def talkative(tmp_path: Path, kafka_server: KafkaServer, topic_prefix: str) -> Iterator[Running]:
    """A running collector that logs all it can."""
    overrides = {"log_format": "json", "log_level": "debug"}
    collector = Running(tmp_path / "collector", kafka_server.bootstrap, topic_prefix, **overrides).prepare()
    with collector.service:
        yield collector


def test_nothing_that_is_sent_begins_a_line_of_the_log(talkative: Running) -> None:
    running, escaped = talkative, quote(SMUGGLED)
    event = track(messageId=SMUGGLED, event=SMUGGLED, context={"userAgent": SMUGGLED, "ip": SMUGGLED})
    assert running.post("/v1/track", event) == 200
    assert running.post(f"/v1/{escaped}", event) == 404
    assert running.post(f"/v1/track?writeKey={escaped}", event, {"Authorization": ""}) == 401
    assert running.post("/v1/track", event | {"writeKey": SMUGGLED}, {"Authorization": ""}) == 401
    assert running.post("/v1/batch", b'{"batch":[' + json.dumps(event).encode() + b",NaN]}") == 200
    for line in (b"GARBAGE", b'GET /\x1b[31mSMUGGLED HTTP/1.1\r\nHost: h\r\nX: \n{"event":"SMUGGLED"}\r\n\r\n'):
        connection = http.client.HTTPConnection(HOST, running.settings.collector_port, timeout=10)
        connection.connect()
        assert connection.sock is not None
        connection.sock.sendall(line + b"\r\n\r\n")
        assert connection.sock.recv(100).startswith(b"HTTP/1.1 400")
        connection.close()
    assert running.service.terminate() == 0
    log = running.service.log_path.read_text()
    assert log.count('"event"') > 2
    for line_of_log in log.split("\n")[:-1]:
        assert "SMUGGLED" not in json.loads(line_of_log)["event"]
    assert "\x1b" not in log
    assert "\u2028" not in log
    (stored, *_) = running.raw_events()
    assert stored["client_message_id"] == SMUGGLED


async def test_slow_headers_and_bodies_of_many_clients_hold_up_nobody(serve: Serve) -> None:
    served = await serve(collector_body_read_ms_max=1_000)
    slow = [await Wire.to(served) for _ in range(100)]
    for number, wire in enumerate(slow):
        wire.writer.write(request()[:-3] if number % 2 else request()[:40])
    other = await Wire.to(served)
    for _ in range(20):
        other.writer.write(request())
        assert (await other.answer())[0] == 200
    async with asyncio.timeout(20):
        for number, wire in enumerate(slow):
            if number % 2:
                assert (await wire.answer())[0] == 408
            else:
                assert await wire.is_closed()
