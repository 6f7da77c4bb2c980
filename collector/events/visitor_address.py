"""Whose address an event gets: its context's, or that of the request when a visitor's own device sent it. Pure."""

import ipaddress
import re
from functools import lru_cache
from typing import Final

from collector.events.context import ContextPart, tells_of_a_device
from collector.events.ip_address import canonical_address

# A library that is named after what servers are programmed in runs in a server; of the SDKs for devices none is.
_LANGUAGES: Final = (
    "python|node|nodejs|ruby|rails|php|laravel|symfony|go|golang|java|rust|perl|elixir|erlang|clojure|scala|haskell"
    "|crystal|julia|lua|django"
)
_OF_A_SERVER: Final = re.compile(
    rf"(?:^|[^a-z0-9])(?:{_LANGUAGES})(?:$|[^a-z0-9])|^analytics\.net$|server|backend", re.ASCII | re.IGNORECASE
).search
_OF_A_DEVICE: Final = re.compile(
    r"(?:^|[^a-z])js(?:$|[^a-z])|\.js|javascript|browser|\bweb\b|react|vue|angular|ios|iphone|swift|cocoa|android|kotlin"
    r"|flutter|dart|unity|csharp|xamarin|cordova|capacitor|roku|amp|gtm|pixel",
    re.ASCII | re.IGNORECASE,
).search
_NAME_CHARS_MAX: Final = 100
_SERVER_CHANNEL: Final = "server"
_NODE: Final = "node"


@lru_cache(maxsize=1024)
def _kind(name: str) -> str:
    if _OF_A_SERVER(name):
        return "server"
    return "device" if _OF_A_DEVICE(name) else "unknown"


def is_from_server(part: ContextPart, context: bytes, channel: str | None) -> bool:
    """Whether an event comes from a server's library, whose address and country are not the visitor's.

    It says so (channel `server`, library.env `node`); its library is named after a server's language; or nobody knows
    its library and nothing in the context comes from a person's device. Events without a library are not: whoever calls
    by hand may be anybody.
    """
    if channel is not None and channel.lower() == _SERVER_CHANNEL:
        return True
    library = part.library
    if library is None or not library.name:
        return False
    if library.env is not None and library.env.lower() == _NODE:
        return True
    kind = _kind(library.name[:_NAME_CHARS_MAX])
    return kind == "server" or (kind == "unknown" and not tells_of_a_device(context))


def address_of(
    part: ContextPart, context: bytes, channel: str | None, request_address: str, ip_policy: str | None
) -> str:
    """The visitor's address, '' when it is not known: a wrong one would look right.

    context.ip counts when it is given, also when it cannot be read. Without it the request's address counts, of a
    server only with context.direct. `ip_policy` is applied to the result.
    """
    if part.ip and not part.ip.isspace():
        address = canonical_address(part.ip)
    elif part.direct or not is_from_server(part, context, channel):
        address = request_address
    else:
        return ""
    return address if ip_policy is None else under_policy(address, ip_policy)


def under_policy(address: str, ip_policy: str) -> str:
    """The address as Jitsu's X-IP-Policy allows it to be kept.

    keep: all of it; stripLastOctet: an IPv4 address without its last octet, an IPv6 address without its last 80 bits;
    remove, and what nobody knows: nothing.
    """
    policy = ip_policy.strip().lower().replace("-", "").replace("_", "")
    if policy in ("", "keep"):
        return address
    if policy != "striplastoctet" or not address:
        return ""
    bits = 24 if "." in address and ":" not in address else 48
    return str(ipaddress.ip_network(f"{address}/{bits}", strict=False).network_address)
