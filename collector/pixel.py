"""Events out of the query of an image's address, for mail and pages without scripts."""

from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from collector.answers import Answer

# The smallest transparent GIF.
GIF: Final = Answer(
    200,
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,"
    b"\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;",
    "image/gif",
    "Cache-Control: no-store\r\n",
)
_OBJECTS: Final = ("properties", "context", "traits")
_DEPTH_MAX: Final = 16


def event_of_query(query: str) -> tuple[bytes, str | None]:
    """(the event as JSON, the writeKey). `properties.price=12` and `properties={"price":12}` both make an object."""
    event: dict[str, Any] = {}
    write_key = None
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name == "writeKey":
            write_key = value
        elif name in _OBJECTS:
            event[name] = _json_or_text(value)
        else:
            _put(event, name.split(".", _DEPTH_MAX), value)
    return msgspec.json.encode(event), write_key


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
