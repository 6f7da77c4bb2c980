"""Nobody can use up what all share: room for bodies, connections, time of the loop, memory."""

import asyncio
import gzip
import json

import pytest
from aiohttp import ClientSession

from collector.errors import RefusedRequest
from collector.events.salvage import STRANGERS_TOKENS_MAX, salvage
from collector.http.body import decompress
from collector.http.connection import _source_of
from collector.projects.directory import ProjectDirectory
from tests.collector.conftest import Serve, Served
from tests.collector.made import WRITE_KEY, directory_of, project_fields, track
from tests.collector.posting import BASIC, post
from tests.collector.wire import EVENT, Wire, request
from tests.waiting import until


async def test_bodies_that_are_announced_and_do_not_come_take_no_room(serve: Serve) -> None:
    served = await serve(collector_inflight_bytes_max=1_000_000)
    served.publisher.slack = 500_000  # of the blanks
    silent = [await Wire.to(served) for _ in range(50)]
    for wire in silent:
        wire.writer.write(request(b" " * 500_000)[: -500_000 + 10])
    await until(lambda: served.collector.receiving_bytes == 500)
    honest = await Wire.to(served)
    sent = request(EVENT + b" " * 400_000)
    honest.writer.write(sent[:1000])
    await until(lambda: served.collector.receiving_bytes > 500)
    honest.writer.write(sent[1000:])
    assert (await honest.answer())[0] == 200
    for wire in silent:
        wire.writer.transport.abort()


async def test_room_for_bodies_is_given_back_however_they_end(serve: Serve) -> None:
    served = await serve(collector_body_read_ms_max=1_500)
    slow, gone, large = [await Wire.to(served) for _ in range(3)]
    slow.writer.write(request()[:-1])
    gone.writer.write(request()[:-1])
    large.writer.write(request(b"x" * 600_000).replace(b"Content-Length: 600000", b"Transfer-Encoding: chunked")[:500])
    await until(lambda: served.collector.receiving_bytes >= 2 * (len(EVENT) - 1))
    gone.writer.transport.abort()
    async with asyncio.timeout(10):
        assert (await slow.answer())[0] == 408
        await until(lambda: served.collector.receiving_bytes == 0)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-Write-Key": "unknown"}, 401),
        ({"Authorization": "Basic dW5rbm93bjo="}, 401),
        ({"Authorization": "Basic dW5rbm93bg=="}, 401),
        ({"Origin": "https://evil.example"} | BASIC, 403),
    ],
)
async def test_a_key_in_the_headers_is_judged_before_the_body_comes(
    serve: Serve, headers: dict[str, str], status: int
) -> None:
    served = await serve(directory_of(project_fields(allowed_origins=["https://shop.example"])))
    wire = await Wire.to(served)
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    wire.writer.write(f"POST /v1/batch HTTP/1.1\r\nHost: h\r\nContent-Length: 500000\r\n{head}\r\n".encode())
    async with asyncio.timeout(10):
        assert (await wire.answer())[0] == status


async def test_a_disabled_key_is_judged_before_the_body_comes(serve: Serve) -> None:
    served = await serve(directory_of(project_fields(is_disabled=True)))
    wire = await Wire.to(served)
    wire.writer.write(request(b" " * 400_000)[:500])
    async with asyncio.timeout(10):
        assert (await wire.answer())[0] == 401


async def test_a_sites_own_password_is_no_write_key(client: ClientSession, serve: Serve) -> None:
    """Browsers send it to whatever is on the site's host; the body has the key."""
    served = await serve()
    user = {"Authorization": "Basic dXNlcjpwYXNzd29yZA=="}
    assert (await post(client, served, "/v1/track", track(writeKey=WRITE_KEY), user))[0] == 200
    assert (await post(client, served, "/v1/track", track(), user))[0] == 401


async def test_no_project_at_all_is_503_never_401(client: ClientSession, serve: Serve) -> None:
    """A topic that is read by a wrong name, or made anew, is empty: SDKs must keep their events."""
    served = await serve(ProjectDirectory())
    for path in ("/v1/track", "/v1/batch"):
        status, body, headers = await post(client, served, path, EVENT)
        assert (status, body["code"], headers["Retry-After"]) == (503, "unavailable", "5")
        assert "no project" in body["message"]
    for path in (f"/v1/projects/{WRITE_KEY}/settings", "/sourceConfig/", f"/pixel/v1/page?writeKey={WRITE_KEY}"):
        async with client.get(f"{served.url}{path}") as answer:
            assert answer.status == 503
    served.directory.apply(WRITE_KEY, project_fields())
    assert (await post(client, served, "/v1/track", EVENT))[0] == 200


async def test_a_small_packed_body_cannot_become_thousands_of_records(client: ClientSession, serve: Serve) -> None:
    served = await serve()
    served.publisher.slack = 600_000
    body = gzip.compress(json.dumps({"batch": [{"type": "page", "userId": "u"}] * 14_000}).encode())
    assert len(body) < 5_000
    assert (await post(client, served, "/v1/batch", body))[0] == 200
    (letter,) = served.publisher.decoded("dead_letters")
    assert letter["reason"] == "batch_too_long"
    assert served.metric("tally_collector_events_total", outcome="dead", reason="batch_too_long") == 1


def test_gzip_members_are_bounded() -> None:
    member = gzip.compress(b" ")
    assert decompress(member * 64, "gzip", 512_000) == b" " * 64
    with pytest.raises(RefusedRequest, match="more than 64 gzip members"):
        decompress(member * 20_000, "gzip", 512_000)


def test_salvaging_for_strangers_is_bounded() -> None:
    fields = b"{}," * 4_000
    assert salvage(b'{"batch":[' + fields + b"NaN]}", STRANGERS_TOKENS_MAX) is not None
    assert salvage(b'{"batch":[' + fields * 4 + b"NaN]}", STRANGERS_TOKENS_MAX) is None
    assert salvage(b'{"batch":[' + fields * 4 + b"NaN]}") is not None


async def test_a_broken_body_of_brackets_costs_a_stranger_no_more_than_a_refusal(
    client: ClientSession, serve: Serve
) -> None:
    served = await serve()
    body = b'{"batch":[NaN,' + b"{}," * 100_000 + b'{}],"writeKey":"' + WRITE_KEY.encode() + b'"}'
    assert (await post(client, served, "/v1/batch", body, {}))[0] == 400


async def opened(served: Served, count: int) -> list[Wire]:
    """So many connections, each with an answered request."""
    wires = []
    for _ in range(count):
        wire = await Wire.to(served)
        wire.writer.write(request())
        assert (await wire.answer())[0] == 200
        wires.append(wire)
    return wires


@pytest.mark.parametrize("name", ["collector_connections_max", "collector_connections_per_address_max"])
async def test_connections_are_bounded_and_the_next_is_told_to_come_again(serve: Serve, name: str) -> None:
    served = await serve(**{name: 5})
    wires = await opened(served, 5)
    assert served.server.open_connections == 5
    beyond = await Wire.to(served)
    async with asyncio.timeout(10):
        status, headers, body = await beyond.answer()
        assert (status, headers["retry-after"]) == (503, "5")
        assert json.loads(body)["code"] == "unavailable"
        assert headers["access-control-allow-origin"] == "*"
        assert await beyond.is_closed()
    assert served.metric("tally_collector_refusals_total", refusal="too_many_connections") == 1
    wires[0].writer.write(request())
    assert (await wires[0].answer())[0] == 200
    wires[0].writer.close()
    async with asyncio.timeout(10):
        await until(lambda: served.server.open_connections < 5)
    await opened(served, 1)


async def test_trusted_proxies_may_have_more_connections(serve: Serve) -> None:
    served = await serve(collector_connections_per_address_max=2, collector_trusted_proxies="127.0.0.0/8")
    await opened(served, 6)


def test_an_ipv6_network_counts_as_one_address() -> None:
    assert _source_of("2001:db8:1:2::1") == _source_of("2001:db8:1:2:ffff::9") != _source_of("2001:db8:1:3::1")
    assert _source_of("::ffff:203.0.113.7") == "203.0.113.7"
    assert _source_of("203.0.113.7") == "203.0.113.7"
