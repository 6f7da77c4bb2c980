"""Paths as SDKs and their users write them, and those that a site needs that changes nothing but the host."""

import base64
import json
from typing import Any

import pytest
from aiohttp import ClientSession

from collector.http.routes import find_post, find_resource, plain_path
from tests.collector.conftest import Serve
from tests.collector.made import PROJECT_ID, WRITE_KEY, directory_of, project_fields, track
from tests.collector.posting import BASIC, post
from tests.collector.wire import EVENT, KEY, Wire


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("//v1/batch", "batch"),
        ("/v1//batch", "batch"),
        ("/v1/batch/", "batch"),
        ("///v1///batch///", "batch"),
        ("/v1/b%61tch", "batch"),
        ("http://events.example/v1/batch", "batch"),
        ("https://events.example//v1/track/", "track"),
        ("/v1//t", "track"),
        ("/batch/b", "batch"),
        ("/api/s/s2s/batch", "batch"),
        ("/api/s/batch", "batch"),
        ("/api//s/s2s/batch/", "batch"),
        ("/api/s/event", "jitsu"),
        ("/v1/merge", "merge"),
    ],
)
def test_a_path_is_found_however_it_is_written(path: str, name: str) -> None:
    route = find_post(path)
    assert route is not None
    assert route.name == name


@pytest.mark.parametrize(
    "path", ["", "*", "/", "//", "/v2/batch", "/v1/batch/x", "/v1", "http:", "http://h", "/V1/BATCH"]
)
def test_what_is_no_route_is_none(path: str) -> None:
    assert find_post(path) is None


@pytest.mark.parametrize("path", ["/analytics-next/bundles/../../etc/passwd", "/analytics-next/bundles/%2e%2e%2fx.js"])
def test_paths_are_never_walked(path: str) -> None:
    found = find_resource(path)
    assert found is not None
    assert "/" in found.argument  # and no bundle has such a name


@pytest.mark.parametrize("path", ["/a//b/", "x", "http://h/a", "/%2f%2f", "/" * 60_000, "/\udcff"])
def test_plain_paths_stay_plain(path: str) -> None:
    assert plain_path(plain_path(path)) == plain_path(path)


async def test_doubled_slashes_store_what_is_sent(client: ClientSession, serve: Serve) -> None:
    served = await serve()
    for path, body in (("//v1/batch", {"batch": [track()]}), ("/v1//track", EVENT), ("/v1/track/", EVENT)):
        wire = await Wire.to(served)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Basic {KEY}\r\nContent-Length: {len(data)}\r\n\r\n"
        wire.writer.write(head.encode() + data)
        assert (await wire.answer())[0] == 200
    assert len(served.publisher.decoded("raw_events")) == 3


@pytest.mark.parametrize("path", ["/api/s/s2s/batch", "/batch/b", "/api/s/batch"])
async def test_jitsus_batches_are_batches(client: ClientSession, serve: Serve, path: str) -> None:
    served = await serve()
    body = {"batch": [track(), {"type": "page", "userId": "u"}], "context": {"locale": "de"}}
    assert (await post(client, served, path, body, {"X-Write-Key": f"{WRITE_KEY}:secret"}))[0] == 200
    assert [event["event_type"] for event in served.publisher.decoded("raw_events")] == ["track", "page"]
    assert served.publisher.decoded("dead_letters") == []


async def test_rudderstacks_merge_is_kept_as_a_dead_letter(client: ClientSession, serve: Serve) -> None:
    served = await serve()
    merge = {"userId": "u", "mergeProperties": [{"type": "email", "value": "a@b.example"}]}
    assert (await post(client, served, "/v1/merge", merge))[0] == 200
    (letter,) = served.publisher.decoded("dead_letters")
    assert (letter["reason"], json.loads(letter["payload"])) == ("type_unknown", merge)


async def test_pixels_of_every_type_in_both_dialects(client: ClientSession, serve: Serve) -> None:
    served = await serve()
    for path, event_type in (
        ("/pixel/v1/page", "page"),
        ("/api/px/track", "track"),
        ("/api/px/p", "page"),
        ("/api/px/identify", "identify"),
    ):
        url = f"{served.url}{path}?writeKey={WRITE_KEY}&userId=u&event=E&properties.n=1"
        async with client.get(url) as answer:
            assert (answer.status, answer.headers["Content-Type"]) == (200, "image/gif")
        assert served.publisher.decoded("raw_events")[-1]["event_type"] == event_type


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
async def test_a_pixel_may_carry_its_event_whole(client: ClientSession, serve: Serve, encode: Any) -> None:
    served = await serve()
    event = {"event": "E\u00fb\u00ff~~~???", "anonymousId": "a", "context": {"page": {"n": 12345678901234567890}}}
    data = encode(json.dumps(event | {"writeKey": WRITE_KEY}).encode()).decode().rstrip("=")
    async with client.get(f"{served.url}/api/px/track", params={"data": data, "userId": "u"}) as answer:
        assert answer.status == 200
    (stored,) = served.publisher.decoded("raw_events")
    assert (stored["event_name"], stored["anonymous_id"], stored["user_id"]) == (event["event"], "a", "u")
    assert "12345678901234567890" in stored["context"]
    async with client.get(f"{served.url}/api/px/track?data=!!!&writeKey={WRITE_KEY}&userId=u&event=E") as answer:
        assert answer.status == 200


async def test_pixels_heed_the_page_they_stand_in(client: ClientSession, serve: Serve) -> None:
    """Browsers send no Origin for an image; a mail sends no Referer either, and is let through."""
    served = await serve(directory_of(project_fields(allowed_origins=["https://shop.example"])))
    url = f"{served.url}/pixel/v1/track?writeKey={WRITE_KEY}&userId=u&event=E"
    for referer, status in (
        ("https://evil.example/page", 403),
        ("https://evil.example", 403),
        ("https://shop.example/page?x", 200),
        ("android-app://mail", 200),
        ("", 200),
    ):
        async with client.get(url, headers={"Referer": referer}) as answer:
            assert answer.status == status, referer
    assert len(served.publisher.records) == 3


@pytest.mark.parametrize("path", ["/v1/projects/KEY/settings", "/projects/KEY/settings", "/v1/projects//KEY/settings/"])
async def test_settings_by_all_their_paths(client: ClientSession, serve: Serve, path: str) -> None:
    served = await serve()
    async with client.get(f"{served.url}{path.replace('KEY', WRITE_KEY)}") as answer:
        assert answer.status == 200
        assert (await answer.json())["integrations"]["Segment.io"]["apiKey"] == WRITE_KEY


@pytest.mark.parametrize("headers", [{}, BASIC])
@pytest.mark.parametrize("path", ["/sourceConfig/", "/sourceConfig"])
async def test_rudderstacks_source_config(
    client: ClientSession, serve: Serve, path: str, headers: dict[str, str]
) -> None:
    served = await serve()
    query = "" if headers else f"&writeKey={WRITE_KEY}"
    async with client.get(f"{served.url}{path}?p=npm&v=3.34.1{query}", headers=headers) as answer:
        assert answer.status == 200
        source = (await answer.json())["source"]
    # What its SDK looks at: an id, a config that is an object, destinations that are a list.
    assert (source["id"], source["enabled"], source["destinations"]) == (PROJECT_ID, True, [])
    assert source["config"]["statsCollection"] == {"errors": {"enabled": False}, "metrics": {"enabled": False}}
    async with client.get(f"{served.url}{path}") as answer:
        assert answer.status == 401


async def test_the_root_says_who_is_here_and_health_whether_it_takes_events(
    client: ClientSession, serve: Serve
) -> None:
    served = await serve()
    async with client.get(served.url) as answer:
        assert (answer.status, (await answer.json())["name"]) == (200, "Tally collector")
    states = (("is_loaded", False, 503), ("is_loaded", True, 200), ("is_draining", True, 503))
    for name, value, expected in states:
        setattr(served.collector, name, value)
        for method in ("GET", "HEAD"):
            async with client.request(method, f"{served.url}/health") as answer:
                assert answer.status == expected


async def test_a_head_stores_nothing_and_is_told_what_a_get_would_be(client: ClientSession, serve: Serve) -> None:
    served = await serve()
    for path, expected in (
        ("/", 200),
        (f"/v1/projects/{WRITE_KEY}/settings", 200),
        ("/v1/projects/unknown/settings", 401),
        (f"/pixel/v1/track?writeKey={WRITE_KEY}&userId=u&event=E", 405),
        ("/v1/track", 405),
        ("/nothing", 404),
    ):
        async with client.head(f"{served.url}{path}") as answer:
            assert answer.status == expected, path
    assert served.publisher.records == []
