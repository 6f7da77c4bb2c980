"""What has been sent is answered: however its pieces are cut, whatever comes behind it, however slowly it is read."""

import asyncio
import contextlib
import socket

import pytest
from aiohttp import ClientSession

from collector.http.connection import Connection
from collector.http.response import Response
from tests.collector.conftest import Serve, Served
from tests.collector.made import track
from tests.collector.posting import post
from tests.collector.wire import EVENT, Wire, request
from tests.waiting import until

BODY_BYTES_MAX = 512_000
TRICKLED = b"POST /v1/track HTTP/1.1\r\nHost: h\r\n"


async def connected(served: Served) -> socket.socket:
    """A socket whose bytes leave when `sendall` returns: no loop has to turn for it."""
    sock = socket.create_connection(("127.0.0.1", served.port))
    sock.setblocking(False)
    await until(lambda: bool(served.server.connections))  # accepted: each test here has one
    return sock


async def answer_on(sock: socket.socket) -> bytes:
    """The first bytes that come back; b"" when the connection was closed without an answer."""
    async with asyncio.timeout(20):
        return await asyncio.get_running_loop().sock_recv(sock, 65_536)


@pytest.mark.parametrize("last", [1, 100_000, 131_071, 131_073, 200_000, 255_000])
@pytest.mark.parametrize("framing", ["length", "chunked", "upgrade"])
async def test_the_last_piece_of_a_body_may_be_of_any_size(serve: Serve, framing: str, last: int) -> None:
    """A process that is busy finds much in the socket at once; more than headers may have, too."""
    served = await serve()
    served.publisher.slack = BODY_BYTES_MAX
    body = EVENT + b" " * 300_000
    if framing == "chunked":
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        sent = request(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked") + body
    elif framing == "upgrade":  # curl --http2
        sent = request(body, Connection="Upgrade, HTTP2-Settings", Upgrade="h2c", HTTP2_Settings="AAMAAABkAAQ")
    else:
        sent = request(body)
    with contextlib.closing(await connected(served)) as sock:
        loop = asyncio.get_running_loop()
        for _ in range(2):  # the second on a connection that was kept
            await loop.sock_sendall(sock, sent[:-last])
            await until(lambda: served.collector.receiving_bytes >= len(EVENT) + 300_000 - last - 20)
            sock.send(sent[-last:])  # as one piece: the loop does not read in between
            assert (await answer_on(sock)).startswith(b"HTTP/1.1 200")
    assert len(served.publisher.records) == 2


async def test_headers_without_an_end_lose_no_answer_of_the_requests_before_them(serve: Serve) -> None:
    served = await serve()
    served.publisher.durable = None
    wire = await Wire.to(served)
    wire.writer.write(request() + TRICKLED)
    await served.publisher.published.wait()
    for _ in range(40):
        wire.writer.write(b"X: " + b"x" * 10_000 + b"\r\n")
        await wire.writer.drain()
        await asyncio.sleep(0)
    (connection,) = served.server.connections
    assert isinstance(connection, Connection)
    await until(lambda: connection._is_refused)
    served.publisher.acknowledge()
    async with asyncio.timeout(10):
        assert (await wire.answer())[0] == 200
        status, headers, _ = await wire.answer()
    assert (status, headers["connection"]) == (400, "close")
    assert served.metric("tally_collector_refusals_total", refusal="headers_too_large") == 1


async def test_a_body_that_still_arrives_while_the_process_stops_is_taken(serve: Serve) -> None:
    served = await serve()
    wire = await Wire.to(served)
    sent = request()
    wire.writer.write(sent[:-5])
    await until(lambda: served.collector.receiving_bytes > 0)
    served.collector.is_stopping = True
    served.server.close_idle()
    wire.writer.write(sent[-5:])
    async with asyncio.timeout(10):
        status, headers, _ = await wire.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert await wire.is_closed()
    assert len(served.publisher.records) == 1


async def slow_reader(served: Served) -> socket.socket:
    """A connection that takes little at once."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", served.port))
    return sock


def unsent(served: Served) -> int:
    """Bytes of answers that wait for their readers."""
    transports = [connection.transport for connection in served.server.connections]
    return sum(transport.get_write_buffer_size() for transport in transports if transport is not None)


async def test_a_large_answer_reaches_a_client_that_reads_slowly(serve: Serve) -> None:
    """A script is larger than a socket's buffers are on a long way."""
    served = await serve()
    served.collector._resources.welcome = Response(200, b"x" * 8_000_000)
    loop = asyncio.get_running_loop()
    with contextlib.closing(await slow_reader(served)) as sock:
        await loop.sock_sendall(sock, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 2)
        await until(lambda: unsent(served) > 0)
        received = 0
        async with asyncio.timeout(60):
            while received < 16_000_000:
                piece = await loop.sock_recv(sock, 1_000_000)
                assert piece, received
                received += len(piece)


async def test_who_reads_no_answer_is_sent_no_more_than_one_and_cut_off_in_the_end(serve: Serve) -> None:
    served = await serve(collector_body_read_ms_max=1_000)
    served.collector._resources.welcome = Response(200, b"x" * 8_000_000)
    with contextlib.closing(await slow_reader(served)) as sock:
        await asyncio.get_running_loop().sock_sendall(sock, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 20)
        await until(lambda: unsent(served) > 0)
        most = 0
        async with asyncio.timeout(20):
            while served.server.open_connections:
                most = max(most, unsent(served))
                await asyncio.sleep(0.01)  # a look now and then: it never holds more
    assert 0 < most <= 8_000_500


@pytest.mark.parametrize(("events", "size"), [(2_000, 300_000), (2_600, 100_000)])
async def test_a_context_that_stands_beneath_no_event_takes_no_room(
    client: ClientSession, serve: Serve, events: int, size: int
) -> None:
    """Its multiple would be more than may ever wait for Kafka: 503 until the SDK gives up."""
    served = await serve()
    served.publisher.slack = 2 * size
    body = {"batch": [track()] * events, "context": {"c": "x" * size}}
    assert (await post(client, served, "/v1/batch", body))[0] == 200
    assert {topic for topic, _ in served.publisher.records} == {"dead_letters"}
