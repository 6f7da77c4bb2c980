"""The public port's connections: aiohttp's, bounded, and with the collector's answers in place of its own."""

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, cast

import structlog
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler, _ErrInfo
from aiohttp.web_request import BaseRequest

from collector.errors import Refusal
from collector.http.app import Collector
from collector.http.request import Request
from schemas.settings import Settings

_log: Final = structlog.get_logger()
_NETWORK_BITS: Final = 64  # one visitor of IPv6 has a whole network of this size


class Connection(RequestHandler):
    """One connection. aiohttp bounds how long it may idle; this bounds how long its first request's headers may take.

    Later headers that trickle in hold a connection no longer than idling would: aiohttp's timer runs on meanwhile.
    aiohttp bounds each header; this bounds them all, at twice that.
    """

    __slots__ = (
        "_body",
        "_first_deadline",
        "_first_s_max",
        "_head_bytes",
        "_is_refused",
        "_reading_deadline",
        "_server",
        "_source",
    )

    def __init__(self, manager: "Server", *, first_s_max: float, **options: Any) -> None:
        super().__init__(manager, **options)
        self._server = manager
        self._source = ""
        self._first_s_max = first_s_max
        self._first_deadline: asyncio.TimerHandle | None = None
        self._body: StreamReader = EMPTY_PAYLOAD
        self._head_bytes = 0
        self._is_refused = False
        self._reading_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._source, is_admitted = self._server.admit(self.peername)
        if not is_admitted:
            if self.transport is not None:
                self.transport.write(self._server.refuse(Refusal.TOO_MANY_CONNECTIONS).to_bytes())
            self.force_close()
            return
        self._first_deadline = self._loop.call_later(self._first_s_max, self._end_unless_asked)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        count = self._request_count
        # Asked before: the piece that ends a body is no header, and may be larger than headers may.
        is_of_headers = self._body.is_eof() and not self._upgraded
        is_closing = self._close
        if is_closing and not is_of_headers:
            self._close = False  # aiohttp would drop the rest of the body whose request is still to be answered
        super().data_received(data)
        self._close = self._close or is_closing
        if self._request_count != count:
            self._body = self._messages[-1][1]
            self._head_bytes = 0
        elif is_of_headers and not self._close and not self._force_close:
            self._head_bytes += len(data)
            if self._head_bytes > 2 * self.max_field_size:
                self._refuse_headers()

    def _refuse_headers(self) -> None:
        """As aiohttp refuses what it cannot read: as its last answer, after those to the requests before."""
        self._is_refused = True
        self._request_count += 1
        error = LineTooLong(b"", 2 * self.max_field_size)
        self._messages.append((_ErrInfo(status=400, exc=error, message=error.message), EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _end_unless_asked(self) -> None:
        if not self._request_count:
            self.force_close()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """aiohttp asks for this after every body, and would parse nothing and wake the transport each time."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._first_deadline is not None:
            self._first_deadline.cancel()
        if self._reading_deadline is not None:
            self._reading_deadline.cancel()
        self._server.release(self._source)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Answers wait to be read: no more are sent meanwhile (`Request.drained`), and who reads too slowly is cut."""
        super().pause_writing()
        if self.transport is not None:
            self._reading_deadline = self._loop.call_later(self._first_s_max, self.transport.abort)

    def resume_writing(self) -> None:
        if self._reading_deadline is not None:
            self._reading_deadline.cancel()
        super().resume_writing()

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Handling a request fails only when its client has gone: there is no answer."""
        raise ConnectionResetError("the client has gone") from exc

    def _make_error_handler(self, err_info: _ErrInfo) -> Callable[[BaseRequest], Awaitable[web.StreamResponse]]:
        """aiohttp: what answers when no request could be read."""
        is_large = isinstance(err_info.exc, LineTooLong)
        return partial(self._refuse_unread, Refusal.HEADERS_TOO_LARGE if is_large else Refusal.UNREADABLE)

    async def _refuse_unread(self, refusal: Refusal, _request: BaseRequest) -> web.StreamResponse:
        return self._server.refuse(refusal)

    def log_exception(self, *args: Any, **_kw: Any) -> None:
        """What strangers send to an open port is no incident: the collector logs its own failures itself."""
        _log.debug("connection", event_detail=str(args[0]) % args[1:] if len(args) > 1 else str(args[:1]))


class Server(web.Server):
    """Makes the connections of one listening socket, within limits: of all, and of each address."""

    def __init__(self, collector: Collector, settings: Settings) -> None:
        super().__init__(cast(Any, collector), request_factory=_make_own_request)
        self.refuse = collector.refuse_unread
        self._proxies = collector.proxies
        self._open = 0
        self._open_max = settings.collector_connections_max
        self._by_source: Counter[str] = Counter()
        self._of_source_max = settings.collector_connections_per_address_max
        self._options: dict[str, Any] = {
            "first_s_max": settings.collector_body_read_ms_max / 1000,
            "keepalive_timeout": settings.collector_keepalive_s,
            "access_log": None,
            # Bodies are unpacked in body.py, within a bound.
            "auto_decompress": False,
            # What a refused request still sends is read for so long, that the client may read the answer.
            "lingering_time": 2.0,
            # Eight KiB, aiohttp's own, are less than the cookies of a large site.
            "max_line_size": settings.collector_header_bytes_max,
            "max_field_size": settings.collector_header_bytes_max,
        }

    def __call__(self) -> RequestHandler:
        return Connection(self, loop=self._loop, **self._options)

    @property
    def open_connections(self) -> int:
        """How many there are."""
        return self._open

    def admit(self, peername: object) -> tuple[str, bool]:
        """(whose connection it is, whether it may stay). Whoever gets an answer must `release` it."""
        source = ""
        if isinstance(peername, tuple) and not self._proxies.trusts(peername[0]):
            source = _source_of(peername[0])
        self._open += 1
        self._by_source[source] += 1
        return source, self._open <= self._open_max and (not source or self._by_source[source] <= self._of_source_max)

    def release(self, source: str) -> None:
        """A connection has ended."""
        self._open -= 1
        self._by_source[source] -= 1
        if not self._by_source[source]:
            del self._by_source[source]

    def close_idle(self) -> None:
        """Close the connections on which no request is being handled; the others close after their answer."""
        self.pre_shutdown()


def _source_of(address: str) -> str:
    """An address, of IPv6 its network: who has one address there has them all."""
    if ":" not in address:
        return address
    parsed = ipaddress.IPv6Address(address.partition("%")[0])
    network = int(parsed) >> _NETWORK_BITS << _NETWORK_BITS
    return str(parsed.ipv4_mapped or ipaddress.IPv6Network((network, _NETWORK_BITS)))


def _make_own_request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: RequestHandler,
    _writer: AbstractStreamWriter,
    _task: "asyncio.Task[None]",
) -> Any:
    return Request(message, payload, protocol)
