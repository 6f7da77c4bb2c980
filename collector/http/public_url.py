"""Where a page found the collector: what answers that name the collector must say."""

from typing import Final, NamedTuple
from urllib.parse import urlsplit

from aiohttp import hdrs

from collector.errors import Refusal, RefusedRequest
from collector.http.request import Headers
from collector.http.trusted_proxies import TrustedProxies, host_or_empty

_SECURE_PAGE: Final = "https://"
_OWN_MACHINE: Final = ("localhost", "127.", "[::1]")


class PublicUrl(NamedTuple):
    """scheme: http or https. host: with a port, and below it a path, if any. is_fixed: the same for whoever asks."""

    scheme: str
    host: str
    is_fixed: bool = False

    @property
    def url(self) -> str:
        """Without a slash at its end."""
        return f"{self.scheme}://{self.host}"


class PublicUrls:
    """Tells where a request found the collector. public_url: the operator's word, '' without."""

    def __init__(self, public_url: str, proxies: TrustedProxies) -> None:
        self._proxies = proxies
        parts = urlsplit(public_url)
        self._fixed = PublicUrl(parts.scheme, parts.netloc + parts.path.rstrip("/"), True) if public_url else None

    def find(self, peer: str, headers: Headers) -> PublicUrl:
        """From the setting, else from trusted proxies, else from the request. Raises RefusedRequest without a host."""
        if self._fixed is not None:
            return self._fixed
        host = self._proxies.host(peer, headers) or host_or_empty(headers.get(hdrs.HOST, ""))
        if not host:
            # Settings without a host would make analytics.js send events to its vendor.
            raise RefusedRequest(Refusal.MALFORMED, "the request's Host is no host name")
        return PublicUrl(self._proxies.scheme(peer, headers) or _scheme_of_page(headers, host), host)


def _scheme_of_page(headers: Headers, host: str) -> str:
    """Browsers let a page that came by https call nothing but https, save on their own machine."""
    page = headers.get(hdrs.ORIGIN) or headers.get(hdrs.REFERER) or ""
    is_secure = page[: len(_SECURE_PAGE)].lower() == _SECURE_PAGE and not host.startswith(_OWN_MACHINE)
    return "https" if is_secure else "http"
