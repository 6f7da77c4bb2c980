"""Connections: what slow, odd and vanishing clients meet."""

import asyncio
import contextlib
import socket
from collections.abc import Callable

import pytest

from collector.http.connection import Connection
from tests.collector.conftest import Serve
from tests.collector.wire import EVENT, KEY, Wire, request
from tests.waiting import until


async def test_requests_follow_each_other_on_one_connection(serve: Serve) -> None:
    served = await serve()
    wire = await Wire.to(served)
    for _ in range(3):
        wire.writer.write(request())
        status, _, body = await wire.answer()
        assert (status, body) == (200, b'{"success":true}')
    assert len(served.publisher.records) == 3


async def test_requests_in_a_row_are_answered_in_a_row(serve: Serve) -> None:
    served = await serve()
    wire = await Wire.to(served)
    wire.writer.write(request() + request(b"broken") + request())
    assert [(await wire.answer())[0] for _ in range(3)] == [200, 400, 200]


async def test_the_answer_to_head_has_no_body(serve: Serve) -> None:
    served = await serve()
    wire = await Wire.to(served)
    wire.writer.write(b"HEAD /v1/track HTTP/1.1\r\nHost: h\r\n\r\n" + request())
    assert (await wire.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 405 ")
    assert (await wire.answer())[0] == 200


async def test_a_request_that_asks_for_it_is_the_last_of_its_connection(serve: Serve) -> None:
    served = await serve()
    for sent in (request(Connection="close"), request(version="1.0"), request(b"broken", Connection="close")):
        wire = await Wire.to(served)
        wire.writer.write(sent)
        _, headers, _ = await wire.answer()
        assert headers["connection"] == "close"
        assert await wire.is_closed()


async def test_while_stopping_every_answer_is_the_last_of_its_connection(serve: Serve) -> None:
    served = await serve()
    wire = await Wire.to(served)
    wire.writer.write(request())
    assert "connection" not in (await wire.answer())[1]
    served.collector.is_stopping = True
    wire.writer.write(request())
    status, headers, _ = await wire.answer()
    assert (status, headers["connection"]) == (200, "close")
    assert await wire.is_closed()


async def test_a_body_in_pieces_is_put_together(serve: Serve) -> None:
    served = await serve()
    wire = await Wire.to(served)
    for byte in request():
        wire.writer.write(bytes([byte]))
        await wire.writer.drain()
        await asyncio.sleep(0)
    assert (await wire.answer())[0] == 200
    assert served.publisher.decoded("raw_events")[0]["event_name"] == "E"


async def test_a_client_that_asks_whether_to_go_on_is_told_so(serve: Serve) -> None:
    served = await serve()
    wire = await Wire.to(served)
    wire.writer.write(request(Expect="100-continue").removesuffix(EVENT))
    assert await wire.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    wire.writer.write(EVENT)
    assert (await wire.answer())[0] == 200


async def test_headers_that_trickle_in_end_the_connection(serve: Serve) -> None:
    served = await serve(collector_body_read_ms_max=200)
    wire = await Wire.to(served)
    wire.writer.write(b"POST /v1/track HTTP/1.1\r\nHost: h\r\n")
    async with asyncio.timeout(10):
        assert await wire.is_closed()


async def trickle(wire: Wire, every_s: float) -> int:
    """Send headers without an end, byte by byte, until the collector ends the connection; how many bytes it took."""
    sent = 0
    with contextlib.suppress(ConnectionError):
        while not (wire.reader.at_eof() or wire.writer.is_closing()):  # the latter is told of first on a busy machine
            wire.writer.write(b"x" if sent else b"POST /v1/track HTTP/1.1\r\nX-Slow: ")
            await wire.writer.drain()
            sent += 1
            await asyncio.sleep(every_s)
    return sent


async def test_bytes_that_keep_coming_do_not_prolong_the_first_headers(serve: Serve) -> None:
    served = await serve(collector_body_read_ms_max=500)
    async with asyncio.timeout(20):
        assert await trickle(await Wire.to(served), 0.1) <= 10


@pytest.mark.parametrize("requests", [1, 3])
async def test_bytes_that_keep_coming_do_not_prolong_later_headers_beyond_idling(serve: Serve, requests: int) -> None:
    served = await serve(collector_keepalive_s=2)
    wire = await Wire.to(served)
    for _ in range(requests):
        wire.writer.write(request())
        assert (await wire.answer())[0] == 200
        await asyncio.sleep(0.3)  # idle, for much less than it may be
    async with asyncio.timeout(20):
        assert await trickle(wire, 0.2) <= 15


async def test_headers_begun_before_the_answer_to_the_request_before_are_bounded_too(serve: Serve) -> None:
    served = await serve(collector_keepalive_s=1)
    wire = await Wire.to(served)
    wire.writer.write(request() + b"POST /v1/track HTTP/1.1\r\nX-Slow: ")
    assert (await wire.answer())[0] == 200
    async with asyncio.timeout(20):
        assert await trickle(wire, 0.1) <= 15


async def test_a_connection_on_which_nothing_comes_is_closed(serve: Serve) -> None:
    served = await serve(collector_body_read_ms_max=200)
    async with asyncio.timeout(10):
        assert await (await Wire.to(served)).is_closed()


async def test_headers_in_two_pieces_within_the_time_are_in_order(serve: Serve) -> None:
    served = await serve(collector_body_read_ms_max=1_500)
    wire = await Wire.to(served)
    sent = request()
    wire.writer.write(sent[:20])
    (connection,) = served.server.connections
    assert isinstance(connection, Connection)
    await until(lambda: connection._head_bytes == 20)
    wire.writer.write(sent[20:])
    assert (await wire.answer())[0] == 200
    await asyncio.sleep(1.7)  # longer than the time there was for the headers: that it is over ends nothing
    wire.writer.write(request())
    assert (await wire.answer())[0] == 200


async def test_a_body_that_trickles_in_is_408(serve: Serve) -> None:
    served = await serve(collector_body_read_ms_max=200)
    wire = await Wire.to(served)
    wire.writer.write(request()[:-1])
    async with asyncio.timeout(10):
        status, _, body = await wire.answer()
    assert status == 408
    assert b"request_timeout" in body
    assert served.publisher.records == []


async def test_an_idle_connection_is_closed(serve: Serve) -> None:
    served = await serve(collector_keepalive_s=1)
    wire = await Wire.to(served)
    wire.writer.write(request())
    assert (await wire.answer())[0] == 200
    async with asyncio.timeout(10):
        assert await wire.is_closed()


async def test_bodies_under_way_are_bounded_together(serve: Serve) -> None:
    served = await serve(collector_inflight_bytes_max=1000)
    first, second, third = [await Wire.to(served) for _ in range(3)]
    large = b" " * 700
    first.writer.write(request(large)[:-10])
    await until(lambda: served.collector.receiving_bytes == 690)
    second.writer.write(request(large)[:-10])
    status, headers, _ = await second.answer()
    assert (status, headers["retry-after"]) == (503, "5")
    third.writer.write(request())
    assert (await third.answer())[0] == 200
    first.writer.write(b" " * 10)
    assert (await first.answer())[0] == 400
    third.writer.write(request(EVENT + large)[:-1])
    await until(lambda: served.collector.receiving_bytes == len(EVENT + large) - 1)
    third.writer.write(b" ")
    assert (await third.answer())[0] == 200


async def test_a_client_that_vanishes_harms_nobody(serve: Serve) -> None:
    served = await serve()
    vanishing = await Wire.to(served)
    vanishing.writer.write(request()[:-5])
    await vanishing.writer.drain()
    vanishing.writer.transport.abort()
    other = await Wire.to(served)
    other.writer.write(request())
    assert (await other.answer())[0] == 200
    assert len(served.publisher.records) == 1


async def test_a_client_that_vanishes_while_it_waits_has_its_events_stored(serve: Serve) -> None:
    served = await serve()
    served.publisher.durable = None
    vanishing = await Wire.to(served)
    vanishing.writer.write(request())
    await vanishing.writer.drain()
    await served.publisher.published.wait()
    vanishing.writer.transport.abort()
    served.publisher.durable = True
    other = await Wire.to(served)
    other.writer.write(request())
    assert (await other.answer())[0] == 200
    assert len(served.publisher.records) == 2


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"GARBAGE\r\n\r\n",
        b"POST /v1/track HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/track HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
        b"POST /v1/track HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_what_is_no_http_is_400_and_closed(serve: Serve, sent: bytes) -> None:
    served = await serve()
    wire = await Wire.to(served)
    wire.writer.write(sent)
    async with asyncio.timeout(10):
        assert (await wire.answer())[0] == 400
        assert await wire.is_closed()


def chunked(body: bytes, size: int) -> bytes:
    """The bytes of a POST /v1/track whose body comes in chunks."""
    head = f"POST /v1/track HTTP/1.1\r\nHost: h\r\nAuthorization: Basic {KEY}\r\nTransfer-Encoding: chunked\r\n\r\n"
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return head.encode() + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])


@pytest.mark.parametrize("size", [1, 7, 4096])
async def test_chunked_bodies_follow_each_other(serve: Serve, size: int) -> None:
    served = await serve()
    wire = await Wire.to(served)
    wire.writer.write(chunked(EVENT, size) + request() + chunked(EVENT, size) + request())
    assert [(await wire.answer())[0] for _ in range(4)] == [200] * 4
    assert len(served.publisher.records) == 4


async def test_large_bodies_in_a_row_are_each_read_whole(serve: Serve) -> None:
    """Larger than what aiohttp takes in before it stops reading from the socket."""
    served = await serve(collector_event_bytes_max=1_000_000)
    wire = await Wire.to(served)
    large = b'{"event":"E","userId":"u","properties":{"p":"' + b"x" * 450_000 + b'"}}'
    bodies = [large, EVENT, large, large, EVENT] * 3
    sent = b"".join(chunked(body, 5_000) if number % 2 else request(body) for number, body in enumerate(bodies))
    wire.writer.write(sent)
    async with asyncio.timeout(30):
        assert [(await wire.answer())[0] for _ in bodies] == [200] * len(bodies)
    lengths = [len(event["properties"]) for event in served.publisher.decoded("raw_events")]
    assert lengths == [450_008 if body is large else 2 for body in bodies]


async def test_more_requests_in_a_row_than_are_parsed_ahead_are_all_answered(serve: Serve) -> None:
    served = await serve()
    wire = await Wire.to(served)
    wire.writer.write(request() * 200)
    async with asyncio.timeout(30):
        assert [(await wire.answer())[0] for _ in range(200)] == [200] * 200


async def test_who_does_not_read_the_answers_is_cut_off(serve: Serve) -> None:
    """What waits to be read is bounded: answers are larger than the requests they answer."""
    served = await serve(collector_body_read_ms_max=1_000)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, ("127.0.0.1", served.port))

    async def send_on() -> None:
        while True:
            await loop.sock_sendall(sock, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 1000)

    with contextlib.closing(sock), pytest.raises(ConnectionError):
        await asyncio.wait_for(send_on(), 60)
    await served.server.shutdown(0.1)


async def test_a_client_of_http_1_0_is_not_told_to_go_on(serve: Serve) -> None:
    """It would take the line for the answer."""
    served = await serve()
    wire = await Wire.to(served)
    wire.writer.write(request(version="1.0", Expect="100-continue").removesuffix(EVENT))
    wire.writer.write(EVENT[:1])
    await until(lambda: served.collector.receiving_bytes == 1)  # so it would have been told by now
    wire.writer.write(EVENT[1:])
    status, headers, _ = await wire.answer()
    assert (status, headers["connection"]) == (200, "close")


async def test_http_1_0_with_keep_alive_is_answered_and_closed(serve: Serve) -> None:
    served = await serve()
    wire = await Wire.to(served)
    wire.writer.write(request(version="1.0", Connection="keep-alive"))
    status, headers, _ = await wire.answer()
    assert (status, headers["connection"]) == (200, "close")
    assert await wire.is_closed()


async def test_a_refused_body_is_not_asked_for(serve: Serve) -> None:
    served = await serve()
    wire = await Wire.to(served)
    wire.writer.write(request(b"x" * 600_000, Expect="100-continue")[:-600_000])
    status, _, body = await wire.answer()
    assert status == 400
    assert b"larger than 512000 bytes" in body


@pytest.mark.parametrize("upgrade", ["h2c", "websocket"])
async def test_an_offer_to_upgrade_is_declined_and_the_request_answered(serve: Serve, upgrade: str) -> None:
    """curl --http2 makes such an offer with every first request."""
    served = await serve()
    wire = await Wire.to(served)
    wire.writer.write(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n" % upgrade.encode())
    assert (await wire.answer())[0] == 200
    wire.writer.write(request())
    assert (await wire.answer())[0] == 200


async def test_a_client_that_vanishes_is_no_failure(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    """Mid body, mid chunk, and with answers on their way: nothing is logged, counted as 500, or left running."""
    served = await serve()
    sent_and_there: list[tuple[bytes, Callable[[], bool]]] = [
        (request()[:-5], lambda: served.collector.receiving_bytes > 0),
        (chunked(EVENT, 5)[:-9], lambda: served.collector.receiving_bytes > 0),
        (request() * 50, lambda: len(served.publisher.records) > 0),
        (b"POST /v1/t", lambda: len(served.server.connections) > 0),
    ]
    for sent, is_there in sent_and_there:
        wire = await Wire.to(served)
        wire.writer.write(sent)
        await until(is_there)
        wire.writer.transport.abort()
        await until(lambda: not served.server.connections)
    assert served.metric("tally_collector_requests_total", route="track", status="500") is None
    assert capsys.readouterr().out == ""
    wire = await Wire.to(served)
    wire.writer.write(request())
    assert (await wire.answer())[0] == 200
