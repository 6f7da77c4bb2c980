"""A request as the collector needs it; aiohttp's own is made ready for forms, cookies and templates at each request."""

import asyncio
from typing import Final

from aiohttp import HttpVersion, hdrs
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler
from multidict import CIMultiDictProxy

Headers = CIMultiDictProxy[str]
_CONTENT_LENGTH: Final = hdrs.CONTENT_LENGTH


def header_text(value: str) -> str:
    """A header as text that can be stored: bytes that are no UTF-8, which aiohttp hides in it, become U+FFFD."""
    return value if value.isascii() else value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


class Request:
    """What `aiohttp.web.Server` is given by its request_factory, and gives to the handler.

    raw_path: with the query. keep_alive: whether the client wants to go on with the connection.
    """

    __slots__ = (
        "_connection",
        "_task",
        "content",
        "headers",
        "keep_alive",
        "method",
        "raw_path",
        "version",
    )

    def __init__(self, message: RawRequestMessage, content: StreamReader, connection: RequestHandler) -> None:
        self.method: str = message.method
        self.raw_path: str = message.path
        self.headers: Headers = message.headers
        self.keep_alive = not message.should_close
        self.version: HttpVersion = message.version
        self.content = content
        self._connection = connection
        # aiohttp puts the task here to take it away again.
        self._task: asyncio.Task[None] | None = None

    @property
    def transport(self) -> asyncio.Transport | None:
        """None once the client has gone."""
        return self._connection.transport

    async def drained(self) -> None:
        """Return once the client has read enough to be sent more, or has gone."""
        if self._connection.writing_paused:
            await self._connection._drain_helper()

    @property
    def peer(self) -> str:
        """The address at the other end; '' when there is none."""
        peername = self._connection.peername
        return peername[0] if isinstance(peername, tuple) else ""

    @property
    def content_length(self) -> int | None:
        """As announced; None for a body in chunks."""
        announced = self.headers.get(_CONTENT_LENGTH)
        return None if announced is None else int(announced)

    def _finish(self) -> None:
        """aiohttp: the answer is about to be sent."""

    def _cancel(self, error: BaseException) -> None:
        """aiohttp: the client has gone."""
        self.content.set_exception(error)
