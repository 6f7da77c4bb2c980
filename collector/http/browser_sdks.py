"""Scripts of browser SDKs, served from their npm packages: what a page asks its vendor's CDN for otherwise.

All files are read at start, by the names in the folders: no request ever names a path.
"""

import re
import zlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec

from collector.errors import Refusal, RefusedRequest
from collector.http.public_url import PublicUrl
from collector.http.response import Response

_SCRIPT: Final = "text/javascript; charset=utf-8"
# Pages that isolate themselves load only what says this.
_FOR_ALL_PAGES: Final = "Cross-Origin-Resource-Policy: cross-origin\r\n"
_BY_REQUEST: Final = f"Cache-Control: private, max-age=120\r\n{_FOR_ALL_PAGES}"
_BY_SETTING: Final = f"Cache-Control: public, max-age=120\r\n{_FOR_ALL_PAGES}"
# A bundle's name has the digest of what it holds.
_FOR_EVER: Final = f"Cache-Control: public, max-age=31536000, immutable\r\n{_FOR_ALL_PAGES}"
_GZIP: Final = "Content-Encoding: gzip\r\n"
_VARY: Final = "Origin, Accept-Encoding"
_ANALYTICS_JS: Final = "@segment/analytics-next/dist/umd"
_STANDALONE: Final = "standalone.js"
_JITSU_JS: Final = "@jitsu/js/dist/web/p.js.txt"
_FILES_MAX: Final = 100
_FILE_BYTES_MAX: Final = 4 * 2**20
# Where the script falls back to its vendor: the key, the CDN and the API stand in it as texts.
_KEY, _CDN, _API = b"__WRITE_KEY__", b"https://cdn.segment.com", b"api.segment.io/v1"
_PLACES: Final = re.compile(b"|".join(map(re.escape, (_KEY, _CDN, _API))))


class NoSdksError(ValueError):
    """The folder does not hold what it should; the text says what."""


class BrowserSdks:
    """The scripts in a node_modules folder; without a folder every script is refused with a hint.

    Raises NoSdksError when a folder is given and lacks them.
    """

    def __init__(self, folder: str | None) -> None:
        self._pieces: list[bytes] = []
        self._bundles: Mapping[str, tuple[Response, Response]] = {}
        self._jitsu: tuple[Response, Response] | None = None
        if folder is not None:
            self._read(Path(folder))

    def analytics_js(self, write_key: str, public_url: PublicUrl, is_gzip_taken: bool) -> Response:
        """analytics.js of a project, which loads its bundles and settings from here and nothing from its vendor.

        Raises RefusedRequest.
        """
        if not self._pieces:
            raise RefusedRequest(Refusal.SDK_NOT_INSTALLED)
        if public_url.is_fixed and is_gzip_taken:
            return self._packed_analytics_js(write_key, public_url)
        headers = _BY_SETTING if public_url.is_fixed else _BY_REQUEST
        return Response(200, self._analytics_js(write_key, public_url), _SCRIPT, headers, _VARY)

    def bundle(self, name: str, is_gzip_taken: bool) -> Response:
        """A part of analytics.js. Raises RefusedRequest."""
        if not self._pieces:
            raise RefusedRequest(Refusal.SDK_NOT_INSTALLED)
        if (found := self._bundles.get(name)) is None:
            raise RefusedRequest(Refusal.NOT_FOUND, "no such bundle")
        return found[is_gzip_taken]

    def jitsu_js(self, is_gzip_taken: bool) -> Response:
        """Jitsu's script. Raises RefusedRequest."""
        if self._jitsu is None:
            raise RefusedRequest(Refusal.SDK_NOT_INSTALLED)
        return self._jitsu[is_gzip_taken]

    def _read(self, folder: Path) -> None:
        analytics, jitsu = folder / _ANALYTICS_JS, folder / _JITSU_JS
        try:
            standalone = _content(analytics / _STANDALONE)
            bundles = sorted(analytics.glob("*.bundle.*.js"))[:_FILES_MAX]
            self._bundles = {path.name: _both(_content(path), _FOR_EVER) for path in bundles}
            if jitsu.exists():
                self._jitsu = _both(_content(jitsu), _BY_SETTING)
        except OSError as error:
            raise NoSdksError(f"{error.filename or folder}: {error.strerror or error}") from None
        if _KEY not in standalone or _CDN not in standalone:
            raise NoSdksError(
                f"{analytics / _STANDALONE}: not the script it was; see collector/README.md for its version"
            )
        # Texts between the places, and the places.
        self._pieces = _split(standalone)

    def _analytics_js(self, write_key: str, public_url: PublicUrl) -> bytes:
        own = {_KEY: _in_script(write_key), _CDN: public_url.url.encode(), _API: f"{public_url.host}/v1".encode()}
        return b"".join([own.get(piece, piece) for piece in self._pieces])

    @lru_cache(maxsize=128)  # noqa: B019 - as long-lived as the process; 128 scripts of 40 KiB, of known keys alone
    def _packed_analytics_js(self, write_key: str, public_url: PublicUrl) -> Response:
        packed = _gzip(self._analytics_js(write_key, public_url))
        return Response(200, packed, _SCRIPT, _GZIP + _BY_SETTING, _VARY)


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    if len(content) > _FILE_BYTES_MAX:
        raise NoSdksError(f"{path}: larger than {_FILE_BYTES_MAX} bytes")
    return content


def _both(content: bytes, headers: str) -> tuple[Response, Response]:
    """(plain, packed)"""
    plain = Response(200, content, _SCRIPT, headers, _VARY)
    return plain, Response(200, _gzip(content), _SCRIPT, _GZIP + headers, _VARY)


def _gzip(content: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    return packer.compress(content) + packer.flush()


def _split(script: bytes) -> list[bytes]:
    pieces, end = [], 0
    for place in _PLACES.finditer(script):
        pieces += [script[end : place.start()], place[0]]
        end = place.end()
    return [*pieces, script[end:]]


def _in_script(text: str) -> bytes:
    """The text as it may stand between any quotes of a script, and in a page."""
    escaped = msgspec.json.encode(text)[1:-1].replace(b"'", b"\\u0027").replace(b"<", b"\\u003c")
    return escaped.replace(b"`", b"\\u0060").replace(b"${", b"\\u0024{")
