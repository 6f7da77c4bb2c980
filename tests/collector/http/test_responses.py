"""What the collector answers, byte for byte where SDKs look at the bytes."""

import gzip
import json
import zlib
from typing import Any

import pytest
from aiohttp import ClientSession

from tests.collector.conftest import Serve
from tests.collector.made import PROJECT_ID, RECEIVED_AT, TENANT_ID, WRITE_KEY, directory_of, project_fields, track
from tests.collector.posting import BASIC, EVENT, post

TYPES = ("track", "identify", "page", "screen", "group", "alias")
ONE_EVENT_ROUTES = [
    *((f"/v1/{event_type}", event_type) for event_type in TYPES),
    *(("/v1/t", "track"), ("/v1/i", "identify"), ("/v1/p", "page"), ("/v1/s", "screen"), ("/v1/g", "group")),
    ("/v1/a", "alias"),
    *((f"/api/s/{event_type}", event_type) for event_type in TYPES),
    *((f"/api/s/s2s/{event_type}", event_type) for event_type in TYPES),
    ("/v1/track/", "track"),
]


@pytest.mark.parametrize(("path", "event_type"), ONE_EVENT_ROUTES)
async def test_a_route_for_one_event_stores_it_with_the_routes_type(
    client: ClientSession, serve: Serve, path: str, event_type: str
) -> None:
    served = await serve()
    status, body, headers = await post(client, served, path, EVENT)
    assert (status, body) == (200, {"success": True})
    assert headers["Content-Type"] == "application/json"
    (event,) = served.publisher.decoded("raw_events")
    assert event["event_type"] == event_type
    assert (event["tenant_id"], event["project_id"]) == (TENANT_ID, PROJECT_ID)
    assert event["ip_address"] == "127.0.0.1"
    assert served.publisher.records[0][1]["key"] == f"{TENANT_ID}/{PROJECT_ID}/v/u".encode()


@pytest.mark.parametrize(
    "path", ["/v1/batch", "/v1/b", "/v1/import", "/batch", "/b", "/v1/batch/b", "/beacon/v1/batch"]
)
async def test_a_batch_route_stores_each_event_with_its_own_type(
    client: ClientSession, serve: Serve, path: str
) -> None:
    served = await serve()
    events = [EVENT | {"type": event_type} for event_type in TYPES]
    assert (await post(client, served, path, {"batch": events}))[:2] == (200, {"success": True})
    assert [event["event_type"] for event in served.publisher.decoded("raw_events")] == list(TYPES)


async def test_the_body_of_a_success_is_segments(client: ClientSession, serve: Serve) -> None:
    served = await serve()
    async with client.post(f"{served.url}/v1/track", json=EVENT, headers=BASIC) as answer:
        assert await answer.read() == b'{"success":true}'
        assert answer.headers["Content-Length"] == "16"
        assert "Date" in answer.headers


async def test_an_empty_batch_is_a_success_that_stores_nothing(client: ClientSession, serve: Serve) -> None:
    served = await serve()
    assert (await post(client, served, "/v1/batch", {"batch": []}))[0] == 200
    assert served.publisher.records == []


async def test_analytics_js_metrics_are_accepted_and_discarded(client: ClientSession, serve: Serve) -> None:
    served = await serve()
    assert (await post(client, served, "/v1/m", b"anything", headers=None))[:2] == (200, {"success": True})
    assert served.publisher.records == []


async def test_an_unknown_type_of_jitsus_path_is_that_of_the_event(client: ClientSession, serve: Serve) -> None:
    served = await serve()
    headers = {"X-Write-Key": f"{WRITE_KEY}:secret"}
    await post(client, served, "/api/s/event", EVENT | {"type": "page"}, headers)
    await post(client, served, "/api/s/conversion", EVENT | {"type": "conversion"}, headers)
    assert [event["event_type"] for event in served.publisher.decoded("raw_events")] == ["page"]
    assert [letter["reason"] for letter in served.publisher.decoded("dead_letters")] == ["type_unknown"]


@pytest.mark.parametrize(
    ("path", "headers", "body"),
    [
        ("/v1/track", {"Authorization": "Bearer token"}, EVENT | {"writeKey": WRITE_KEY}),
        ("/v1/track", {"X-Write-Key": WRITE_KEY}, EVENT),
        (f"/v1/track?writeKey={WRITE_KEY}", {}, EVENT),
        (f"/beacon/v1/batch?writeKey={WRITE_KEY}", {"Content-Type": "text/plain"}, {"batch": [track()]}),
        ("/v1/batch", {}, {"batch": [track()], "writeKey": WRITE_KEY}),
    ],
)
async def test_the_write_key_may_stand_anywhere(
    client: ClientSession, serve: Serve, path: str, headers: dict[str, str], body: Any
) -> None:
    served = await serve()
    assert (await post(client, served, path, body, headers))[0] == 200
    assert len(served.publisher.records) == 1


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", "nonsense"])
async def test_content_type_decides_nothing(client: ClientSession, serve: Serve, content_type: str) -> None:
    served = await serve()
    assert (await post(client, served, "/v1/track", EVENT, BASIC | {"Content-Type": content_type}))[0] == 200


async def test_a_missing_key_names_what_is_missing(client: ClientSession, serve: Serve) -> None:
    served = await serve()
    status, body, _ = await post(client, served, "/v1/batch", {"batch": [track()]}, headers=None)
    assert status == 401
    assert body["success"] is False
    assert body["code"] == "write_key_missing"
    assert "apiKey" in body["message"]
    assert served.publisher.records == []


async def test_an_unknown_key_and_a_disabled_project_are_401(client: ClientSession, serve: Serve) -> None:
    served = await serve(directory_of(project_fields(is_disabled=True)))
    status, body, _ = await post(client, served, "/v1/track", EVENT)
    assert (status, body["code"]) == (401, "project_disabled")
    status, body, _ = await post(client, served, "/v1/track", EVENT, {"X-Write-Key": "other"})
    assert (status, body["code"]) == (401, "write_key_unknown")
    assert served.publisher.records == []


@pytest.mark.parametrize("path", ["/v1/track", "/v1/batch"])
@pytest.mark.parametrize("body", [b"", b"not json", b'{"batch":[{"a":1}', b'{"event":"E","userId":"u",}', b"\xff\xfe{"])
async def test_malformed_json_is_segments_400(client: ClientSession, serve: Serve, path: str, body: bytes) -> None:
    served = await serve()
    status, answer, _ = await post(client, served, path, body)
    assert status == 400
    assert answer["success"] is False
    assert answer["code"] == "invalid_request"
    assert answer["message"].startswith("malformed")
    assert served.publisher.records == []


async def test_a_body_that_is_too_large_is_segments_400_and_the_connection_goes_on(
    client: ClientSession, serve: Serve
) -> None:
    served = await serve(collector_body_bytes_max=1000)
    status, answer, _ = await post(client, served, "/v1/track", b"x" * 1001)
    assert (status, answer["code"]) == (400, "invalid_request")
    assert "1000 bytes" in answer["message"]
    assert (await post(client, served, "/v1/track", EVENT))[0] == 200


async def chunks(size: int) -> Any:
    for _ in range(size):
        yield b"x" * 100


async def test_a_chunked_body_is_measured_too(client: ClientSession, serve: Serve) -> None:
    served = await serve(collector_body_bytes_max=1000)
    async with client.post(f"{served.url}/v1/track", data=chunks(11), headers=BASIC) as answer:
        assert answer.status == 400
    assert served.publisher.records == []


def deflated(body: bytes, window: int) -> bytes:
    stream = zlib.compressobj(wbits=window)
    return stream.compress(body) + stream.flush()


BODY = json.dumps(EVENT).encode()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(BODY, mtime=0)),
        ("GZIP", gzip.compress(BODY, mtime=0)),
        (None, gzip.compress(BODY, mtime=0)),
        ("gzip", gzip.compress(BODY[:10], mtime=0) + gzip.compress(BODY[10:], mtime=0)),
        ("gzip", BODY),
        ("deflate", deflated(BODY, zlib.MAX_WBITS)),
        ("deflate", deflated(BODY, -zlib.MAX_WBITS)),
        ("identity", BODY),
    ],
)
async def test_compressed_bodies(client: ClientSession, serve: Serve, encoding: str | None, body: bytes) -> None:
    served = await serve()
    headers = BASIC if encoding is None else BASIC | {"Content-Encoding": encoding}
    assert (await post(client, served, "/v1/track", body, headers))[0] == 200
    assert len(served.publisher.records) == 1


@pytest.mark.parametrize(
    ("encoding", "body", "message"),
    [
        ("gzip", gzip.compress(BODY, mtime=0)[:-9], "malformed gzip"),
        ("gzip", b"\x1f\x8b" + b"\xff" * 50, "malformed gzip"),
        ("deflate", b"\xff" * 50, "malformed deflate"),
        ("br", BODY, "Content-Encoding is gzip, deflate or identity"),
        ("gzip", gzip.compress(b" " * 512_001, mtime=0), "larger than 512000 bytes"),
        ("gzip", gzip.compress(b"0" * 50_000_000, 1, mtime=0), "larger than 512000 bytes"),
        ("deflate", deflated(b"0" * 50_000_000, -zlib.MAX_WBITS), "larger than 512000 bytes"),
    ],
)
async def test_compressed_bodies_that_are_broken_or_bombs(
    client: ClientSession, serve: Serve, encoding: str, body: bytes, message: str
) -> None:
    served = await serve()
    status, answer, _ = await post(client, served, "/v1/track", body, BASIC | {"Content-Encoding": encoding})
    assert (status, answer["code"]) == (400, "invalid_request")
    assert message in answer["message"]


async def test_a_bad_event_is_a_success_and_a_dead_letter(client: ClientSession, serve: Serve) -> None:
    served = await serve()
    bad = b'{"type":"track","userId":"u","messageId":"m-1","event":7}'
    body = b'{"batch":[' + json.dumps(track()).encode() + b"," + bad + b"]}"
    assert (await post(client, served, "/v1/batch", body))[:2] == (200, {"success": True})
    (letter,) = served.publisher.decoded("dead_letters")
    assert (letter["reason"], letter["payload"], letter["stage"]) == ("event_not_string", bad, "collector")
    assert (letter["tenant_id"], letter["project_id"]) == (TENANT_ID, PROJECT_ID)
    assert letter["client_message_id"] == "m-1"
    assert letter["first_seen_at"].timestamp() * 1000 == RECEIVED_AT
    assert len(served.publisher.decoded("raw_events")) == 1
    assert [topic for topic, _ in served.publisher.records] == ["raw_events", "dead_letters"]
    assert served.publisher.records[1][1]["key"] == f"{TENANT_ID}/{PROJECT_ID}".encode()


@pytest.mark.parametrize(
    ("cause", "message"),
    [("starting", "projects"), ("full", "Kafka"), ("overloaded", "Kafka"), ("not durable", "acknowledge")],
)
@pytest.mark.parametrize("path", ["/v1/track", "/v1/batch"])
async def test_overload_is_503_with_retry_after(
    client: ClientSession, serve: Serve, path: str, cause: str, message: str
) -> None:
    served = await serve(collector_retry_after_s=7)
    served.collector.is_loaded = cause != "starting"
    served.publisher.inflight_bytes = 2**40 if cause == "full" else 0
    served.publisher.inflight_bytes_max = 0 if cause == "overloaded" else 2**60
    served.publisher.durable = cause != "not durable"
    status, body, headers = await post(client, served, path, EVENT | {"batch": [track()]})
    assert (status, body["success"], headers["Retry-After"]) == (503, False, "7")
    assert message in body["message"]


async def test_an_unexpected_failure_is_500_and_may_be_repeated(client: ClientSession, serve: Serve) -> None:
    served = await serve()
    served.publisher.publish = None  # type: ignore[assignment,method-assign]
    status, body, _ = await post(client, served, "/v1/track", EVENT)
    assert (status, body["code"]) == (500, "internal_error")


async def test_an_unknown_path_is_404_and_a_wrong_method_405(client: ClientSession, serve: Serve) -> None:
    served = await serve()
    for method, path, expected in (
        ("POST", "/v2/track", 404),
        ("GET", "/v2", 404),
        ("POST", "/v1/projects//settings", 404),
        ("GET", "/v1/track", 405),
        ("DELETE", "/v1/batch", 405),
        ("POST", f"/v1/projects/{WRITE_KEY}/settings", 405),
        ("POST", "/pixel/v1/track", 405),
    ):
        async with client.request(method, f"{served.url}{path}", headers=BASIC) as answer:
            assert (answer.status, method, path) == (expected, method, path)
            assert (await answer.json())["success"] is False


async def test_settings_that_analytics_js_asks_for(client: ClientSession, serve: Serve) -> None:
    served = await serve()
    async with client.get(f"{served.url}/v1/projects/{WRITE_KEY}/settings") as answer:
        assert answer.status == 200
        settings = await answer.json()
    segment = settings["integrations"]["Segment.io"]
    assert segment["apiKey"] == WRITE_KEY
    assert segment["apiHost"] == f"127.0.0.1:{served.port}/v1"
    for kind in ("track", "identify", "group"):
        assert settings["plan"][kind] == {"__default": {"enabled": True}}
    async with client.get(f"{served.url}/v1/projects/other/settings") as answer:
        assert answer.status == 401


async def test_a_pixel_is_an_event_in_a_query(client: ClientSession, serve: Serve) -> None:
    served = await serve()
    query = f"?writeKey={WRITE_KEY}&anonymousId=a&event=Mail+Opened&properties.list=autumn&context.page.title=T%C3%BCr"
    async with client.get(f"{served.url}/pixel/v1/track{query}") as answer:
        assert (answer.status, answer.headers["Content-Type"]) == (200, "image/gif")
        assert (await answer.read()).startswith(b"GIF89a")
    async with client.get(f'{served.url}/pixel/v1/page?writeKey={WRITE_KEY}&userId=u&properties={{"n":1}}') as answer:
        assert answer.status == 200
    async with client.get(f"{served.url}/pixel/v1/page?userId=u") as answer:
        assert answer.status == 401
    first, second = served.publisher.decoded("raw_events")
    assert (first["event_type"], first["event_name"], first["anonymous_id"]) == ("track", "Mail Opened", "a")
    assert json.loads(first["properties"]) == {"list": "autumn"}
    assert json.loads(first["context"]) == {"page": {"title": "Tür"}}
    assert (second["event_type"], second["user_id"], second["properties"]) == ("page", "u", '{"n":1}')


async def test_forwarded_addresses_are_believed_of_trusted_proxies_alone(client: ClientSession, serve: Serve) -> None:
    headers = BASIC | {"X-Forwarded-For": "198.51.100.1"}
    for trusted, address in (("", "127.0.0.1"), ("127.0.0.0/8", "198.51.100.1")):
        served = await serve(collector_trusted_proxies=trusted)
        await post(client, served, "/v1/track", EVENT, headers)
        assert served.publisher.decoded("raw_events")[0]["ip_address"] == address


async def test_user_agent_of_the_request_is_kept(client: ClientSession, serve: Serve) -> None:
    served = await serve()
    await post(client, served, "/v1/track", EVENT, BASIC | {"User-Agent": "agent/1"})
    await post(client, served, "/v1/track", EVENT)
    assert [event["user_agent"] for event in served.publisher.decoded("raw_events")] == ["agent/1", ""]


async def test_what_was_done_is_counted(client: ClientSession, serve: Serve) -> None:
    served = await serve()
    await post(client, served, "/v1/batch", {"batch": [track(), track(), {}]})
    await post(client, served, "/v1/track", b"broken")
    served.publisher.durable = False
    await post(client, served, "/v1/track", EVENT)
    assert served.metric("tally_collector_events_total", outcome="accepted", reason="") == 2
    assert served.metric("tally_collector_events_total", outcome="dead", reason="type_unknown") == 1
    assert served.metric("tally_collector_events_total", outcome="unavailable", reason="") == 1
    assert served.metric("tally_collector_requests_total", route="batch", status="200") == 1
    assert served.metric("tally_collector_requests_total", route="track", status="400") == 1
    assert served.metric("tally_collector_requests_total", route="track", status="503") == 1
    assert served.metric("tally_collector_request_seconds_count") == 3
    assert served.metric("tally_collector_request_events_sum") == 4
    assert served.metric("tally_collector_request_events_bucket", le="2.0") == 1
    assert served.metric("tally_collector_request_events_bucket", le="5.0") == 2
