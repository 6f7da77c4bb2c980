"""Page URL → its path and the campaign its query names."""

from typing import NamedTuple
from urllib.parse import unquote_plus


class PageUrl(NamedTuple):
    """`path` as written, still percent-encoded; the utm fields decoded, None when absent or empty."""

    path: str
    utm_source: str | None
    utm_medium: str | None
    utm_campaign: str | None


def parse_url(url: str) -> PageUrl:
    """Read an absolute or relative URL; any text gives some answer, nothing raises.

    The path of a URL with a host and no path is '/'. A parameter's first value counts, names are matched as written
    (nobody percent-encodes `utm_source`), and bytes that are not UTF-8 become U+FFFD.
    """
    # Not urllib.parse.urlsplit: it raises for hosts like `[` and strips characters.
    address, _, query = url.partition("#")[0].partition("?")
    return PageUrl(_path(address), *(_first_value(query, name) for name in PageUrl._fields[1:]))


def _path(address: str) -> str:
    scheme, separator, rest = address.partition("://")
    if separator and scheme.replace("+", "").replace("-", "").replace(".", "").isalnum() and scheme.isascii():
        host_and_path = rest
    elif address.startswith("//"):
        host_and_path = address[2:]
    else:
        return address if address.startswith("/") else ""
    _, slash, path = host_and_path.partition("/")
    return f"/{path}" if slash else "/"


def _first_value(query: str, name: str) -> str | None:
    prefix = f"{name}="
    for parameter in query.split("&"):
        if parameter.startswith(prefix):
            value = unquote_plus(parameter[len(prefix) :], errors="replace")
            return value or None
    return None
