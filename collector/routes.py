"""The paths SDKs post to, and what each takes."""

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Final, NamedTuple

from collector.admit import EVENT_TYPES


class Takes(Enum):
    """What the body of a POST is."""

    EVENT = "event"
    BATCH = "batch"
    NOTHING = "nothing"  # accepted and discarded


class Route(NamedTuple):
    """name: the label in metrics. event_type: of a route for one type, None where the event says it.

    is_import: its events may be as old as the table.
    """

    name: str
    takes: Takes
    event_type: str | None = None
    is_import: bool = False


LETTERS: Final[Mapping[str, str]] = {
    event_type[0]: event_type for event_type in EVENT_TYPES if event_type != "screen"
} | {"s": "screen"}
_JITSU: Final = ("/api/s/", "/api/s/s2s/")
_BATCH: Final = Route("batch", Takes.BATCH)
_IMPORT: Final = Route("import", Takes.BATCH, is_import=True)
_JITSU_ROUTE: Final = Route("jitsu", Takes.EVENT)
SETTINGS_PREFIX: Final = "/v1/projects/"
SETTINGS_SUFFIX: Final = "/settings"
PIXELS: Final[Mapping[str, Route]] = {
    f"/pixel/v1/{event_type}": Route("pixel", Takes.EVENT, event_type) for event_type in ("track", "page")
}


def _paths() -> Iterator[tuple[str, Route]]:
    for event_type in EVENT_TYPES:
        yield f"/v1/{event_type}", Route(event_type, Takes.EVENT, event_type)
        for prefix in _JITSU:
            yield f"{prefix}{event_type}", Route("jitsu", Takes.EVENT, event_type)
    for letter, event_type in LETTERS.items():
        yield f"/v1/{letter}", Route(event_type, Takes.EVENT, event_type)
        for prefix in _JITSU:
            yield f"{prefix}{letter}", Route("jitsu", Takes.EVENT, event_type)
    for path in ("/v1/batch", "/v1/b", "/v1/batch/b", "/batch", "/b", "/beacon/v1/batch"):
        yield path, _BATCH
    yield "/v1/import", _IMPORT
    yield "/v1/m", Route("metrics", Takes.NOTHING)


_POSTS: Final = dict(_paths())


def find_post(path: str) -> Route | None:
    """The route of a POST to a path without its query."""
    route = _POSTS.get(path)
    if route is None and path.startswith(_JITSU[0]):
        return _JITSU_ROUTE
    return route or _POSTS.get(path.rstrip("/"))


def find_settings_key(path: str) -> str | None:
    """The write key of `/v1/projects/{writeKey}/settings`; None for any other path."""
    if path.startswith(SETTINGS_PREFIX) and path.endswith(SETTINGS_SUFFIX):
        return path[len(SETTINGS_PREFIX) : -len(SETTINGS_SUFFIX)] or None
    return None
