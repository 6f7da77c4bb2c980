"""The public port's connections: aiohttp's, with a deadline for headers that trickle in."""

import asyncio
from typing import Any, Final

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from collector.app import Collector
from schemas.settings import Settings

_log: Final = structlog.get_logger()


class Connection(RequestHandler):
    """One connection. aiohttp bounds how long it may idle; this bounds how long one request's headers may take."""

    __slots__ = ("_header_deadline", "_header_s_max")

    def __init__(self, manager: "Server", *, header_s_max: float, **options: Any) -> None:
        super().__init__(manager, **options)
        self._header_s_max = header_s_max
        self._header_deadline: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._messages or self._waiter is None:
            # A request is being handled: its headers are complete.
            if self._header_deadline is not None:
                self._header_deadline.cancel()
                self._header_deadline = None
        elif self._header_deadline is None:
            self._header_deadline = self._loop.call_later(self._header_s_max, self.force_close)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._header_deadline is not None:
            self._header_deadline.cancel()
            self._header_deadline = None
        super().connection_lost(exc)

    def log_exception(self, *args: Any, **_kw: Any) -> None:
        """What strangers send to an open port is no incident: the collector logs its own failures itself."""
        _log.debug("connection", event_detail=str(args[0]) % args[1:] if len(args) > 1 else str(args[:1]))


class Server(web.Server):
    """Makes the connections of one listening socket."""

    def __init__(self, collector: Collector, settings: Settings) -> None:
        super().__init__(collector)
        self._options: dict[str, Any] = {
            "header_s_max": settings.collector_body_read_ms_max / 1000,
            "keepalive_timeout": settings.collector_keepalive_s,
            "access_log": None,
            # Bodies are unpacked in body.py, within a bound.
            "auto_decompress": False,
            # What a refused request still sends is read for so long, that the client may read the answer.
            "lingering_time": 2.0,
        }

    def __call__(self) -> RequestHandler:
        return Connection(self, loop=self._loop, **self._options)

    def close_idle(self) -> None:
        """Close the connections on which no request is being handled; the others close after their answer."""
        self.pre_shutdown()
