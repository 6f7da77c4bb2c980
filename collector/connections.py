"""The public port's connections: aiohttp's, with a deadline for headers that trickle in."""

import asyncio
from typing import Any, Final, cast

import structlog
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import ERROR, RequestHandler
from aiohttp.web_request import BaseRequest

from collector.app import Collector
from collector.request import Request
from schemas.settings import Settings

_log: Final = structlog.get_logger()


class Connection(RequestHandler):
    """One connection. aiohttp bounds how long it may idle; this bounds how long its first request's headers may take.

    Later headers that trickle in hold a connection no longer than idling would: aiohttp's timer runs on meanwhile.
    """

    __slots__ = ("_first_deadline", "_first_s_max")

    def __init__(self, manager: "Server", *, first_s_max: float, **options: Any) -> None:
        super().__init__(manager, **options)
        self._first_s_max = first_s_max
        self._first_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._first_deadline = self._loop.call_later(self._first_s_max, self._end_unless_asked)

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
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Too many answers wait to be read; nobody would bound how long, nor how many more requests there are."""
        super().pause_writing()
        if self.transport is not None:
            self.transport.abort()

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is no HTTP is answered as aiohttp does. A `Request` only fails when its client has gone: no answer."""
        if isinstance(request, Request):
            raise ConnectionResetError("the client has gone") from exc
        return super().handle_error(request, status, exc, message)

    def log_exception(self, *args: Any, **_kw: Any) -> None:
        """What strangers send to an open port is no incident: the collector logs its own failures itself."""
        _log.debug("connection", event_detail=str(args[0]) % args[1:] if len(args) > 1 else str(args[:1]))


class Server(web.Server):
    """Makes the connections of one listening socket."""

    def __init__(self, collector: Collector, settings: Settings) -> None:
        super().__init__(cast(Any, collector), request_factory=self._make_own_request)
        self._options: dict[str, Any] = {
            "first_s_max": settings.collector_body_read_ms_max / 1000,
            "keepalive_timeout": settings.collector_keepalive_s,
            "access_log": None,
            # Bodies are unpacked in body.py, within a bound.
            "auto_decompress": False,
            # What a refused request still sends is read for so long, that the client may read the answer.
            "lingering_time": 2.0,
        }

    def __call__(self) -> RequestHandler:
        return Connection(self, loop=self._loop, **self._options)

    def _make_own_request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: "asyncio.Task[None]",
    ) -> Any:
        if message is ERROR:
            # What is no HTTP is answered by aiohttp itself, in its own way.
            return self._make_request(message, payload, protocol, writer, task)
        return Request(message, payload, protocol)

    def close_idle(self) -> None:
        """Close the connections on which no request is being handled; the others close after their answer."""
        self.pre_shutdown()
