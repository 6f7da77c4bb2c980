"""What HTTP itself may refuse: taken where it can be, else refused in the protocol's own form, readable and counted."""

import asyncio
import json

import pytest
from aiohttp import ClientSession

from tests.collector.conftest import Serve
from tests.collector.made import WRITE_KEY
from tests.collector.posting import BASIC, post
from tests.collector.wire import EVENT, Wire, request

SHOP = "https://shop.example"


@pytest.mark.parametrize("size", [8_000, 9_000, 40_000, 65_000])
@pytest.mark.parametrize("header", ["Cookie", "Referer", "X-Own"])
async def test_long_headers_are_no_hindrance(client: ClientSession, serve: Serve, header: str, size: int) -> None:
    served = await serve()
    assert (await post(client, served, "/v1/track", EVENT, BASIC | {header: "x" * size}))[0] == 200
    assert len(served.publisher.records) == 1


@pytest.mark.parametrize("size", [9_000, 30_000])
async def test_a_long_query_is_no_hindrance(serve: Serve, size: int) -> None:
    served = await serve()
    wire = await Wire.to(served)
    path = f"/pixel/v1/track?writeKey={WRITE_KEY}&userId=u&event=E&properties.p=" + "x" * size
    wire.writer.write(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    assert (await wire.answer())[0] == 200
    assert len(served.publisher.decoded("raw_events")) == 1


UNREAD = {
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00\x01", "unreadable"),
    "garbage": (b"GARBAGE\r\n\r\n", "unreadable"),
    "method": (b"BREW /v1/track HTTP/1.1\r\nHost: h\r\n\r\n", "unreadable"),
    "version": (b"POST /v1/track HTTP/9.9\r\nHost: h\r\n\r\n", "unreadable"),
    "http2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "unreadable"),
    "no host": (b"POST /v1/track HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "unreadable"),
    "two hosts": (b"POST /v1/track HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "unreadable"),
    "length": (b"POST /v1/track HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", "unreadable"),
    "smuggled": (
        b"POST /v1/track HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "unreadable",
    ),
    "many": (b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: y\r\n" * 200 + b"\r\n", "unreadable"),
    "field": (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", "headers_too_large"),
    "line": (b"GET /?" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", "headers_too_large"),
    "together": (b"GET / HTTP/1.1\r\nHost: h\r\n" + (b"X: " + b"x" * 20_000 + b"\r\n") * 100, "headers_too_large"),
}


@pytest.mark.parametrize("name", UNREAD)
async def test_what_cannot_be_read_is_refused_in_the_protocols_form_readably_and_counted(
    serve: Serve, name: str
) -> None:
    served = await serve()
    wire = await Wire.to(served)
    sent, refusal = UNREAD[name]
    wire.writer.write(sent)
    async with asyncio.timeout(10):
        status, headers, body = await wire.answer()
        assert (status, headers["connection"]) == (400, "close")
        assert json.loads(body)["code"] == "invalid_request"
        assert headers["content-type"] == "application/json"
        assert headers["access-control-allow-origin"] == "*"
    assert served.metric("tally_collector_refusals_total", refusal=refusal) == 1
    assert served.metric("tally_collector_requests_total", route="unread", status="400") == 1


async def test_unread_requests_end_their_connection_and_nobody_elses(serve: Serve) -> None:
    served = await serve()
    broken, other = await Wire.to(served), await Wire.to(served)
    for sent, status in ((request(), 200), (b"GARBAGE\r\n\r\n", 400)):
        broken.writer.write(sent)
        assert (await broken.answer())[0] == status
    assert await broken.is_closed()
    other.writer.write(request())
    assert (await other.answer())[0] == 200


async def test_all_headers_together_are_bounded_while_a_body_is_not_taken_for_headers(serve: Serve) -> None:
    served = await serve(collector_event_bytes_max=1_000_000)
    wire = await Wire.to(served)
    large = b'{"event":"E","userId":"u","properties":{"p":"' + b"x" * 400_000 + b'"}}'
    for _ in range(3):
        sent = request(large)
        for start in range(0, len(sent), 50_000):
            wire.writer.write(sent[start : start + 50_000])
            await wire.writer.drain()
            await asyncio.sleep(0)
        assert (await wire.answer())[0] == 200
    refused = request(b"x" * 700_000)  # answered before it has come; the rest is read so that the answer can be
    wire.writer.write(refused)
    assert (await wire.answer())[0] == 400


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND"])
async def test_odd_methods_are_405_in_the_protocols_form(serve: Serve, method: str) -> None:
    served = await serve()
    wire = await Wire.to(served)
    target = "h:80" if method == "CONNECT" else "/v1/track"
    wire.writer.write(f"{method} {target} HTTP/1.1\r\nHost: h\r\nOrigin: {SHOP}\r\n\r\n".encode())
    async with asyncio.timeout(10):
        status, headers, body = await wire.answer()
    assert (status, headers["allow"]) == (405, "GET, HEAD, POST, OPTIONS")
    assert json.loads(body)["success"] is False
    assert headers["access-control-allow-origin"] == SHOP


async def test_refusals_are_counted_by_why(client: ClientSession, serve: Serve) -> None:
    served = await serve()
    await post(client, served, "/v1/track", b"{", BASIC)
    await post(client, served, "/v1/track", EVENT, {})
    await post(client, served, "/v1/nothing", EVENT)
    for refusal in ("malformed", "key_missing", "not_found"):
        assert served.metric("tally_collector_refusals_total", refusal=refusal) == 1
