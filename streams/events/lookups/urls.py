"""Page URL → its path and the campaign it names."""

from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import unquote_plus

_NAME_CHARS_MAX = 64


class PageUrl(NamedTuple):
    """`path` as written, still percent-encoded; the utm fields decoded, None when absent or empty."""

    path: str
    utm_source: str | None
    utm_medium: str | None
    utm_campaign: str | None


def parse_url(url: str) -> PageUrl:
    """Read an absolute or relative URL; any text gives some answer, nothing raises.

    The path of a URL with a host and no path is '/'. The utm fields stand in the query, else in the fragment: in its
    own query, as routers write it (`#/path?utm_source=…`), or as the whole of it (`#utm_source=…`). A parameter's first
    value counts, in the query before the fragment; names are matched in any case, also behind an `&amp;` that was
    escaped once too often; bytes that are not UTF-8 become U+FFFD.
    """
    # Not urllib.parse.urlsplit: it raises for hosts like `[` and strips characters.
    before, _, fragment = url.partition("#")
    address, _, query = before.partition("?")
    of_fragment = fragment.partition("?")[2] if "?" in fragment else fragment
    found: dict[str, str] = {}
    for name, value in _parameters(f"{query}&{of_fragment}"):
        found.setdefault(name, value)
    return PageUrl(_path(address), *(_decoded(found.get(name)) for name in PageUrl._fields[1:]))


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


def _parameters(query: str) -> Iterator[tuple[str, str]]:
    """The parameters whose names may be those of a campaign, in lower case."""
    for parameter in query.split("&"):
        name, separator, value = parameter.partition("=")
        if separator and len(name) <= _NAME_CHARS_MAX:
            name = name.lower()
            while name.startswith("amp;"):
                name = name[4:]
            if name.startswith("utm_"):
                yield name, value


def _decoded(value: str | None) -> str | None:
    return unquote_plus(value, errors="replace") or None if value else None
