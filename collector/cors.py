"""Cross-origin rules: which pages may call, and what they may read of the answer."""

from functools import lru_cache
from typing import Final

from collector.answers import Answer

# Chromium keeps a preflight for ten minutes at most.
_MAX_AGE_S: Final = 600
_ALLOWED_HEADERS: Final = "authorization, content-type, content-encoding, x-retry-count, x-write-key, anonymousid"
# The answer to a preflight that is allowed; a browser takes one without the page's own origin in it for a no.
PREFLIGHT: Final = Answer(
    204,
    headers=f"Access-Control-Allow-Methods: GET, POST, OPTIONS\r\nAccess-Control-Allow-Headers: {_ALLOWED_HEADERS}\r\n"
    f"Access-Control-Max-Age: {_MAX_AGE_S}\r\n",
)


@lru_cache(maxsize=4096)
def origin_headers(origin: str) -> bytes:
    """Header lines that let a page of this origin read the answer, Retry-After included."""
    return (
        f"Access-Control-Allow-Origin: {origin}\r\nAccess-Control-Allow-Credentials: true\r\n"
        "Access-Control-Expose-Headers: Retry-After\r\nVary: Origin\r\n"
    ).encode("utf-8", "surrogateescape")
