"""Client addresses: what counts as one, and which proxies are believed about whom they speak for."""

import ipaddress
import socket
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

_MAPPED: Final = "::ffff:"


@lru_cache(maxsize=65_536)
def canonical_address(text: str) -> str:
    """An IPv4 or IPv6 address in its usual form, '' when the text is none. 0.0.0.0 (anonymised) is kept as it is."""
    try:
        if ":" not in text:
            return socket.inet_ntop(socket.AF_INET, socket.inet_pton(socket.AF_INET, text))
        unscoped = text.partition("%")[0]
        address = socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, unscoped))
    except (OSError, ValueError):  # ValueError: a NUL in the text
        return ""
    return address.removeprefix(_MAPPED) if address.startswith(_MAPPED) and "." in address else address


class TrustedProxies:
    """The networks whose X-Forwarded-For is believed. Raises ValueError naming a bad CIDR."""

    def __init__(self, cidrs: str) -> None:
        self._networks = tuple(ipaddress.ip_network(cidr.strip()) for cidr in cidrs.split(",") if cidr.strip())

    def client_address(self, peer: str, forwarded_for: Sequence[str]) -> str:
        """The address a request comes from: the nearest one that is no trusted proxy.

        forwarded_for: the X-Forwarded-For headers in their order.
        """
        address = canonical_address(peer)
        if not self._networks or not forwarded_for:
            return address
        for hop in reversed(",".join(forwarded_for).split(",")):
            if not self._trusts(address):
                break
            nearer = canonical_address(hop.strip())
            if not nearer:
                break
            address = nearer
        return address

    def _trusts(self, address: str) -> bool:
        if not address:
            return False
        parsed = ipaddress.ip_address(address)
        return any(parsed in network for network in self._networks)
