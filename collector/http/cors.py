"""Cross-origin rules: what a page may send, and what it may read of the answer.

A preflight is always allowed, and with all that it asks for: SDKs and tracing tools add headers of their own to each
call, and a refused preflight is a network error to the page, which its SDK repeats for hours. Whether the page's origin
may send events is decided on the call itself, whose answer says so and can be read.

There is no Access-Control-Allow-Credentials: no answer depends on cookies, and no SDK asks for them; a page that sends
cookies all the same is served, and only can't read the answer.
"""

import re
from functools import lru_cache
from typing import Final

from multidict import istr

from collector.http.request import Headers
from collector.http.response import Response

# Chromium keeps a preflight for ten minutes at most.
_MAX_AGE_S: Final = 600
# Longer texts are neither echoed nor kept: a scheme with the longest host and port has 270 characters, the names of an
# SDK's headers come to 200.
_ORIGIN_CHARS_MAX: Final = 300
_HEADERS_CHARS_MAX: Final = 2048
_USUAL_HEADERS: Final = (
    "authorization, content-type, content-encoding, x-retry-count, x-write-key, anonymousid, sentat, x-ip-policy, "
    "x-enable-debug, traceparent, tracestate, baggage, sentry-trace"
)
_USUAL_METHODS: Final = "GET, HEAD, POST, OPTIONS"
_NAMES: Final = re.compile(r"[\w!#$%&'*+.^`|~-]+(?:[ \t]*,[ \t]*[\w!#$%&'*+.^`|~-]+)*", re.ASCII).fullmatch
_METHOD: Final = re.compile(r"[A-Za-z]{1,20}").fullmatch
_REQUEST_HEADERS: Final = istr("Access-Control-Request-Headers")
_REQUEST_METHOD: Final = istr("Access-Control-Request-Method")
_REQUEST_PRIVATE_NETWORK: Final = istr("Access-Control-Request-Private-Network")
_READABLE: Final = "Access-Control-Expose-Headers: Retry-After, X-RateLimit-Reset, Date\r\n"
# Where the request is unreadable, and so its Origin too.
ANY_ORIGIN_HEADERS: Final = f"Access-Control-Allow-Origin: *\r\n{_READABLE}".encode()


def origin_headers(origin: str) -> bytes:
    """Header lines that let a page of this origin read the answer, Retry-After included. Vary is every answer's own."""
    return _origin_headers(origin) if len(origin) <= _ORIGIN_CHARS_MAX else ANY_ORIGIN_HEADERS


@lru_cache(maxsize=2048)
def _origin_headers(origin: str) -> bytes:
    return f"Access-Control-Allow-Origin: {origin}\r\n{_READABLE}".encode("utf-8", "surrogateescape")


def preflight(headers: Headers) -> Response:
    """The answer to OPTIONS: all that was asked for is allowed."""
    names = headers.get(_REQUEST_HEADERS, "").strip(" \t,")
    if not names or len(names) > _HEADERS_CHARS_MAX or not _NAMES(names):
        names = _USUAL_HEADERS
    method = headers.get(_REQUEST_METHOD, "")
    return _preflight(names, method if _METHOD(method) else "", headers.get(_REQUEST_PRIVATE_NETWORK) == "true")


# 512 answers of at most 3 KiB.
@lru_cache(maxsize=512)
def _preflight(names: str, method: str, is_private: bool) -> Response:
    methods = _USUAL_METHODS if method in ("", *_USUAL_METHODS.split(", ")) else f"{_USUAL_METHODS}, {method}"
    # A page of the public internet may call a collector in a private network: a write key guards it there as anywhere.
    private = "Access-Control-Allow-Private-Network: true\r\n" if is_private else ""
    return Response(
        204,
        headers=f"Allow: {_USUAL_METHODS}\r\nAccess-Control-Allow-Methods: {methods}\r\n"
        f"Access-Control-Allow-Headers: {names}\r\nAccess-Control-Max-Age: {_MAX_AGE_S}\r\n{private}",
        vary="Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
    )
