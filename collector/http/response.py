"""Responses as ready bytes: nearly all are one of a few, and building each anew is half of a request's cost."""

import email.utils
import time
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web_request import BaseRequest

from collector.errors import Refusal
from collector.http.request import Request

JSON: Final = "application/json"
_ALLOW: Final = {405: "Allow: GET, HEAD, POST, OPTIONS\r\n"}
_LATER: Final = (429, 503)
_REASONS: Final = {
    200: "OK",
    204: "No Content",
    302: "Found",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class DateLine:
    """The Date header, made once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._line = b""

    def __call__(self) -> bytes:
        """`Date: …\\r\\n` of now."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._line = f"Date: {email.utils.formatdate(second, usegmt=True)}\r\n".encode()
        return self._line


_date_line: Final = DateLine()


class Response(web.StreamResponse):
    """A response whose bytes are made once and sent any number of times: `extra` headers vary, the rest does not."""

    def __init__(
        self, status: int, body: bytes = b"", content_type: str = JSON, headers: str = "", vary: str = "Origin"
    ) -> None:
        super().__init__(status=status)
        length = "" if status == 204 else f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        # Vary stands also in answers to requests without an Origin: a cache must not give those to a page.
        self._head = f"HTTP/1.1 {status} {_REASONS[status]}\r\n{length}Vary: {vary}\r\n{headers}".encode()
        self._tail = b"\r\n" + body
        self._keep_alive = True

    def with_headers(self, extra: bytes) -> "Response":
        """The same response with more header lines, each ending in CRLF."""
        other = _copy(self)
        other._head = self._head + extra
        return other

    def without_body(self) -> "Response":
        """The same response to a HEAD request."""
        other = _copy(self)
        other._tail = b"\r\n"
        return other

    def closing(self) -> "Response":
        """The same response as the last one on its connection."""
        other = self.with_headers(b"Connection: close\r\n")
        other._keep_alive = False
        return other

    async def prepare(self, request: BaseRequest | Request) -> AbstractStreamWriter | None:
        """Send the whole response, once the client has read those before."""
        if isinstance(request, Request):
            await request.drained()
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has gone")
        transport.write(self.to_bytes())
        return None

    def to_bytes(self) -> bytes:
        """As it goes over the wire now."""
        return b"".join((self._head, _date_line(), self._tail))

    async def write_eof(self, data: bytes = b"") -> None:
        """Everything was sent by `prepare`."""


def _copy(response: Response) -> Response:
    other = Response.__new__(Response)
    other.__dict__.update(response.__dict__)
    return other


class ErrorResponses:
    """The responses to refused requests; those of a default message are made once."""

    def __init__(self, retry_after_s: int) -> None:
        self._retry_after: Final = f"Retry-After: {retry_after_s}\r\n"
        self._ready = {refusal: self._make(refusal, refusal.value[2]) for refusal in Refusal}

    def of(self, refusal: Refusal, message: str | None = None) -> Response:
        """The response to a refused request."""
        return self._ready[refusal] if message is None else self._make(refusal, message)

    def _make(self, refusal: Refusal, message: str) -> Response:
        status, code, _ = refusal.value
        body = msgspec.json.encode({"success": False, "message": message, "code": code})
        return Response(status, body, headers=self._retry_after if status in _LATER else _ALLOW.get(status, ""))
