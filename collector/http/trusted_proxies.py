"""What proxies say of the request they pass on, and which proxies are believed."""

import ipaddress
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from collector.events.ip_address import canonical_address
from collector.http.request import Headers

# Hops of one header that are looked at; a chain of proxies has two or three.
_HOPS_MAX: Final = 32
_FORWARDED: Final = "forwarded"
_HOST: Final = re.compile(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?").fullmatch
_SCHEMES: Final = frozenset({"http", "https"})


class TrustedProxies:
    """The networks whose headers are believed, and which headers.

    cidrs: comma separated. address_headers: in the order in which they are asked for the visitor's address. Raises
    ValueError naming a bad CIDR.
    """

    def __init__(self, cidrs: str, address_headers: str) -> None:
        self._networks = tuple(ipaddress.ip_network(cidr.strip()) for cidr in cidrs.split(",") if cidr.strip())
        self._headers = tuple(name.strip().lower() for name in address_headers.split(",") if name.strip())
        self._contains = lru_cache(maxsize=4096)(self._find)

    def trusts(self, peer: str) -> bool:
        """Whether a proxy speaks: the address at the other end of the connection is in one of the networks."""
        return bool(self._networks) and self._contains(canonical_address(peer))

    def client_address(self, peer: str, headers: Headers) -> str:
        """The address a request comes from: the nearest one that is no trusted proxy.

        '' when a proxy passes the request on and does not say for whom: its own address would be located like the
        visitor's, and nobody could tell.
        """
        address = canonical_address(peer)
        if not self._networks or not self._contains(address):
            return address
        for name in self._headers:
            said = headers.getall(name, ())
            if said and (found := self._nearest_stranger(address, ",".join(said), name == _FORWARDED)):
                return found
        return ""

    def scheme(self, peer: str, headers: Headers) -> str:
        """`http` or `https`, by which the visitor asked a proxy; '' when no trusted one says so."""
        said = self._first(peer, headers, "X-Forwarded-Proto", "proto").lower()
        return said if said in _SCHEMES else ""

    def host(self, peer: str, headers: Headers) -> str:
        """The host, with its port if any, that the visitor asked a proxy for; '' when no trusted one says so."""
        return host_or_empty(self._first(peer, headers, "X-Forwarded-Host", "host"))

    def _nearest_stranger(self, proxy: str, chain: str, is_forwarded: bool) -> str:
        address = proxy
        for hop in reversed(chain.rsplit(",", _HOPS_MAX)[-_HOPS_MAX:]):
            text = _parameter(hop, "for") if is_forwarded else hop.strip()
            if not text:
                continue
            address = canonical_address(text)
            if not address or not self._contains(address):
                return address
        return "" if address == proxy else address

    def _first(self, peer: str, headers: Headers, name: str, parameter: str) -> str:
        """What the proxy nearest to the visitor says."""
        if not self.trusts(peer):
            return ""
        said = headers.get(name, "").partition(",")[0].strip()
        return said or next(filter(None, _parameters(headers, parameter)), "")

    def _find(self, address: str) -> bool:
        if not address:
            return False
        parsed = ipaddress.ip_address(address)
        return any(parsed in network for network in self._networks)


def host_or_empty(text: str) -> str:
    """The text when it is a host, with a port or without; else ''."""
    return text if _HOST(text) else ""


def _parameters(headers: Headers, name: str) -> Iterator[str]:
    for line in headers.getall("Forwarded", ()):
        for element in line.split(",", _HOPS_MAX)[:_HOPS_MAX]:
            yield _parameter(element, name)


def _parameter(element: str, wanted: str) -> str:
    """A parameter of an element of `Forwarded`, without its quotes: `for="[2001:db8::1]:80";proto=https`."""
    for pair in element.split(";", _HOPS_MAX):
        name, _, value = pair.partition("=")
        if name.strip().lower() == wanted:
            return value.strip().strip('"')
    return ""
