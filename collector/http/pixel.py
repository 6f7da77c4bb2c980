"""Events out of the query of an image's address, for mail and pages without scripts."""

from base64 import b64decode
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from collector.http.response import Response

# The smallest transparent GIF.
GIF: Final = Response(
    200,
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,"
    b"\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;",
    "image/gif",
    "Cache-Control: no-store\r\n",
)
_URL_SAFE: Final = frozenset("-_")
_decode_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_OBJECTS: Final = ("properties", "context", "traits")
_DEPTH_MAX: Final = 16
_WHOLE: Final = "data"  # Jitsu's: the event as JSON in base64


def event_of_query(query: str) -> tuple[bytes, str | None]:
    """(the event as JSON, the writeKey). `properties.price=12` and `properties={"price":12}` both make an object."""
    event: dict[str, Any] = {}
    write_key = None
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name == "writeKey":
            write_key = value
        elif name == _WHOLE and (whole := _decoded(value)) is not None:
            write_key = write_key or _text(whole.pop("writeKey", None))
            event = whole | event
        elif name in _OBJECTS:
            event[name] = _json_or_text(value)
        else:
            _put(event, name.split(".", _DEPTH_MAX), value)
    return msgspec.json.encode(event), write_key


def origin_of(referer: str) -> str | None:
    """The origin of the page that an image stands in: browsers send no Origin for one. None for a mail, or no page."""
    scheme, is_parted, rest = referer.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}" if is_parted and scheme.lower() in ("http", "https") else None


def _decoded(value: str) -> dict[str, Any] | None:
    """The members of a JSON object in base64, with or without padding, as the bytes that stood there."""
    text = value.strip().replace(" ", "+").rstrip("=")  # an unescaped plus is read as a blank
    try:
        return _decode_members(
            b64decode(f"{text}{'=' * (-len(text) % 4)}", altchars=b"-_" if _URL_SAFE & {*text} else None)
        )
    except (ValueError, RecursionError):
        return None


def _text(raw: msgspec.Raw | None) -> str | None:
    value = None if raw is None else msgspec.json.decode(raw)
    return value if isinstance(value, str) else None


def _json_or_text(value: str) -> Any:
    try:
        decoded = msgspec.json.decode(value)
    except (ValueError, RecursionError):
        return value
    return msgspec.Raw(value.encode()) if isinstance(decoded, dict) else value


def _put(event: dict[str, Any], path: list[str], value: str) -> None:
    for name in path[:-1]:
        inner = event.get(name)
        if not isinstance(inner, dict):
            inner = event[name] = {}
        event = inner
    event[path[-1]] = value
