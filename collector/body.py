"""Reading a request's body: within a time, within a size, and decompressed."""

import asyncio
import zlib
from typing import Final

from aiohttp import HttpVersion11, hdrs

from collector.refusals import Refusal, RefusedRequest
from collector.request import Request

GZIP_MAGIC: Final = b"\x1f\x8b"
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_GZIP_OR_ZLIB: Final = zlib.MAX_WBITS | 32
_RAW_DEFLATE: Final = -zlib.MAX_WBITS


class BodyReader:
    """Reads bodies.

    bytes_max: of one body. wait_s_max: how long a client may take. receiving_bytes_max: of all bodies that are still
    arriving, each counted as large as it may become.
    """

    def __init__(self, bytes_max: int, wait_s_max: float, receiving_bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._wait_s_max = wait_s_max
        self._receiving_bytes_max = receiving_bytes_max
        self._receiving_bytes = 0

    def read_arrived(self, request: Request) -> bytes | None:
        """The body when it came with its headers, as nearly all do; else None. Raises RefusedRequest."""
        content = request.content
        if not content.is_eof():
            return None
        body = content.read_nowait(-1)
        if len(body) > self._bytes_max:
            raise _too_large(self._bytes_max)
        return body

    async def read_arriving(self, request: Request) -> bytes:
        """The body as it comes in. Raises RefusedRequest when it is too large or too slow, or too many are arriving."""
        size_max = request.content_length
        if size_max is None:
            size_max = self._bytes_max
        elif size_max > self._bytes_max:
            raise _too_large(self._bytes_max)
        if self._receiving_bytes + size_max > self._receiving_bytes_max:
            raise RefusedRequest(Refusal.OVERLOADED, "too many bodies are arriving")
        self._receiving_bytes += size_max
        try:
            return await self._receive(request)
        finally:
            self._receiving_bytes -= size_max

    async def _receive(self, request: Request) -> bytes:
        if hdrs.EXPECT in request.headers and request.version == HttpVersion11 and request.transport is not None:
            request.transport.write(_CONTINUE)
        received: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._wait_s_max):
                while chunk := await request.content.readany():
                    received.append(chunk)
                    size += len(chunk)
                    if size > self._bytes_max:
                        raise _too_large(self._bytes_max)
        except TimeoutError:
            raise RefusedRequest(Refusal.BODY_TOO_SLOW) from None
        return b"".join(received)


def decompress(body: bytes, encoding: str | None, bytes_max: int) -> bytes:
    """The body without its Content-Encoding; gzip is recognised also when no header tells of it.

    At most bytes_max + 1 bytes are ever unpacked. Raises RefusedRequest.
    """
    if not body:
        return body
    coding = (encoding or "").strip().lower()
    if body.startswith(GZIP_MAGIC) or coding == "deflate":
        return _inflate(body, bytes_max)
    if coding in ("", "identity", "gzip", "x-gzip"):
        # Proxies unpack bodies and forget the header; what is not gzip is then read as it is.
        return body
    raise RefusedRequest(Refusal.ENCODING_UNKNOWN)


def _inflate(body: bytes, bytes_max: int) -> bytes:
    try:
        return _unpack(body, bytes_max, _GZIP_OR_ZLIB)
    except zlib.error:
        if body.startswith(GZIP_MAGIC):
            raise RefusedRequest(Refusal.MALFORMED, "malformed gzip") from None
    try:
        return _unpack(body, bytes_max, _RAW_DEFLATE)
    except zlib.error:
        raise RefusedRequest(Refusal.MALFORMED, "malformed deflate") from None


def _unpack(body: bytes, bytes_max: int, window: int) -> bytes:
    out = b""
    while body:  # a gzip file may have several members
        stream = zlib.decompressobj(window)
        out += stream.decompress(body, bytes_max + 1 - len(out))
        if len(out) > bytes_max:
            raise _too_large(bytes_max)
        if not stream.eof:
            raise zlib.error("the stream ends early")
        body = stream.unused_data
    return out


def _too_large(bytes_max: int) -> RefusedRequest:
    return RefusedRequest(Refusal.TOO_LARGE, f"the body is larger than {bytes_max} bytes")
