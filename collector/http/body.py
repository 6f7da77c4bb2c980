"""Reading a request's body: within a time, within a size, and decompressed."""

import asyncio
import zlib
from typing import Final

from aiohttp import HttpVersion11, hdrs

from collector.errors import Refusal, RefusedRequest
from collector.http.request import Request

GZIP_MAGIC: Final = b"\x1f\x8b"
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_GZIP_OR_ZLIB: Final = zlib.MAX_WBITS | 32
_RAW_DEFLATE: Final = -zlib.MAX_WBITS
# Clients that append to a gzip stream make a few members; each costs the time of making a decompressor.
_MEMBERS_MAX: Final = 64


class BodyReader:
    """Reads bodies.

    bytes_max: of one body. wait_s_max: how long a client may take. receiving_bytes_max: of all bodies that are still
    arriving together; what was announced and has not come takes no room.
    """

    def __init__(self, bytes_max: int, wait_s_max: float, receiving_bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._wait_s_max = wait_s_max
        self._receiving_bytes_max = receiving_bytes_max
        self.receiving_bytes = 0

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
        announced = request.content_length
        if announced is not None and announced > self._bytes_max:
            raise _too_large(self._bytes_max)
        if hdrs.EXPECT in request.headers and request.version == HttpVersion11 and request.transport is not None:
            request.transport.write(_CONTINUE)
        received: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._wait_s_max):
                while chunk := await request.content.readany():
                    received.append(chunk)
                    size += len(chunk)
                    self.receiving_bytes += len(chunk)
                    if size > self._bytes_max:
                        raise _too_large(self._bytes_max)
                    if self.receiving_bytes > self._receiving_bytes_max:
                        raise RefusedRequest(Refusal.OVERLOADED, "too many bodies are arriving")
        except TimeoutError:
            raise RefusedRequest(Refusal.BODY_TOO_SLOW) from None
        finally:
            self.receiving_bytes -= size
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
    members: list[bytes] = []
    room = bytes_max + 1
    while body:  # a gzip file may have several members
        if len(members) == _MEMBERS_MAX:
            raise RefusedRequest(Refusal.MALFORMED, f"the body has more than {_MEMBERS_MAX} gzip members")
        stream = zlib.decompressobj(window)
        members.append(stream.decompress(body, room))
        room -= len(members[-1])
        if room <= 0:
            raise _too_large(bytes_max)
        if not stream.eof:
            raise zlib.error("the stream ends early")
        body = stream.unused_data
    return members[0] if len(members) == 1 else b"".join(members)


def _too_large(bytes_max: int) -> RefusedRequest:
    return RefusedRequest(Refusal.TOO_LARGE, f"the body is larger than {bytes_max} bytes")
