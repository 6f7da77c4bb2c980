"""Reading a request's body: within a time, within a size, and decompressed."""

import asyncio
import zlib
from typing import Final

from aiohttp import hdrs
from aiohttp.web_request import BaseRequest

from collector.refusals import Refusal, RefusedRequest

_GZIP_MAGIC: Final = b"\x1f\x8b"
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_GZIP_OR_ZLIB: Final = zlib.MAX_WBITS | 32
_RAW_DEFLATE: Final = -zlib.MAX_WBITS


async def read_body(request: BaseRequest, bytes_max: int, wait_s_max: float) -> bytes:
    """The body as sent. Raises RefusedRequest when it is too large or too slow."""
    content = request.content
    if content.is_eof():
        # The usual case, without a timer: the body came with its headers.
        body = content.read_nowait(-1)
        if len(body) > bytes_max:
            raise _too_large(bytes_max)
        return body
    announced = request.content_length
    if announced is not None and announced > bytes_max:
        raise _too_large(bytes_max)
    if hdrs.EXPECT in request.headers and request.transport is not None:
        request.transport.write(_CONTINUE)
    received = bytearray()
    try:
        async with asyncio.timeout(wait_s_max):
            while chunk := await content.readany():
                received += chunk
                if len(received) > bytes_max:
                    raise _too_large(bytes_max)
    except TimeoutError:
        raise RefusedRequest(Refusal.BODY_TOO_SLOW) from None
    return bytes(received)


def decompress(body: bytes, encoding: str | None, bytes_max: int) -> bytes:
    """The body without its Content-Encoding; gzip is recognised also when no header tells of it.

    At most bytes_max + 1 bytes are ever unpacked. Raises RefusedRequest.
    """
    if not body:
        return body
    coding = (encoding or "").strip().lower()
    if body.startswith(_GZIP_MAGIC) or coding == "deflate":
        return _inflate(body, bytes_max)
    if coding in ("", "identity", "gzip", "x-gzip"):
        # Proxies unpack bodies and forget the header; what is not gzip is then read as it is.
        return body
    raise RefusedRequest(Refusal.ENCODING_UNKNOWN)


def _inflate(body: bytes, bytes_max: int) -> bytes:
    try:
        return _unpack(body, bytes_max, _GZIP_OR_ZLIB)
    except zlib.error:
        if body.startswith(_GZIP_MAGIC):
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
