"""The paths SDKs ask for, and what each takes."""

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Final, NamedTuple
from urllib.parse import unquote

from collector.events.admit import EVENT_TYPES
from collector.events.parse import Call


class Route(NamedTuple):
    """name: the label in metrics. call: None where the body is no event's. app: of a webhook, from the path."""

    name: str
    call: Call | None
    app: str = ""


class Resource(Enum):
    """What a GET can ask for; the value is the label in metrics."""

    WELCOME = "welcome"
    HEALTH = "health"
    PIXEL = "pixel"
    SETTINGS = "settings"
    SOURCE_CONFIG = "source_config"
    ANALYTICS_JS = "analytics_js"
    BUNDLE = "bundle"
    JITSU_JS = "jitsu_js"
    WHATSAPP_JS = "whatsapp_js"
    WEBHOOK = "whatsapp"
    GO = "go"


class Found(NamedTuple):
    """argument: the write key, the file's or the app's name in the path. pixel: what a pixel's query is."""

    resource: Resource
    argument: str = ""
    pixel: Call | None = None


INITIALS: Final[Mapping[str, str]] = {
    event_type[0]: event_type for event_type in EVENT_TYPES if event_type != "screen"
} | {"s": "screen"}
_NAMES: Final[Mapping[str, str]] = {**{event_type: event_type for event_type in EVENT_TYPES}, **INITIALS}
_JITSU: Final = ("/api/s/", "/api/s/s2s/")
_BATCH: Final = Route("batch", Call(is_batch=True))
_IMPORT: Final = Route("import", Call(is_batch=True, is_import=True))
_JITSU_ROUTE: Final = Route("jitsu", Call())
_BATCHES: Final = ("/v1/batch", "/v1/b", "/v1/batch/b", "/batch", "/b", "/batch/b", "/beacon/v1/batch")
_SETTINGS_PREFIXES: Final = ("/v1/projects/", "/projects/")
_SETTINGS_SUFFIX: Final = "/settings"
_SNIPPET_PREFIX: Final = "/analytics.js/v1/"
_SNIPPET_SUFFIXES: Final = ("/analytics.min.js", "/analytics.js")
_BUNDLE_PREFIX: Final = "/analytics-next/bundles/"
_WEBHOOK_PREFIX: Final = "/v1/whatsapp/"
_GO_PREFIX: Final = "/go/"
HANDSHAKE: Final = Route("handshake", None)
_PLAIN_RESOURCES: Final = {
    "/": Found(Resource.WELCOME),
    "/health": Found(Resource.HEALTH),
    "/sourceConfig": Found(Resource.SOURCE_CONFIG),
    "/p.js": Found(Resource.JITSU_JS),
    "/whatsapp.js": Found(Resource.WHATSAPP_JS),
}


def _posts() -> Iterator[tuple[str, Route]]:
    for name, event_type in _NAMES.items():
        yield f"/v1/{name}", Route(event_type, Call(event_type=event_type))
        for prefix in _JITSU:
            yield f"{prefix}{name}", Route("jitsu", Call(event_type=event_type))
    for path in (*_BATCHES, *(f"{prefix}{name}" for prefix in _JITSU for name in ("batch", "b", "batch/b"))):
        yield path, _BATCH
    yield "/v1/import", _IMPORT
    # RudderStack's: no type that Tally knows, so a dead letter with its bytes.
    yield "/v1/merge", Route("merge", Call(event_type="merge"))
    yield "/v1/m", Route("metrics", None)
    yield "/v1/handshake", HANDSHAKE


def _pixels() -> Iterator[tuple[str, Call]]:
    for name, event_type in _NAMES.items():
        for prefix in ("/pixel/v1/", "/api/px/"):
            yield f"{prefix}{name}", Call(event_type=event_type)
    for name in ("e", "event"):
        yield f"/api/px/{name}", Call()


_POSTS: Final = dict(_posts())
_RESOURCES: Final = _PLAIN_RESOURCES | {path: Found(Resource.PIXEL, pixel=call) for path, call in _pixels()}


def find_post(path: str) -> Route | None:
    """The route of a POST to a path without its query."""
    route = _POSTS.get(path)
    if route is not None:
        return route
    plain = plain_path(path)
    if app := _between(plain, _WEBHOOK_PREFIX, ""):
        return Route(Resource.WEBHOOK.value, None, app)
    # Jitsu's /api/s/event, and whatever else: the event says its type.
    return _POSTS.get(plain) or (_JITSU_ROUTE if plain.startswith(_JITSU[0]) else None)


def find_resource(path: str) -> Found | None:
    """What a GET of a path without its query asks for."""
    path = plain_path(path)
    found = _RESOURCES.get(path)
    if found is not None:
        return found
    if path.startswith(_BUNDLE_PREFIX):
        return Found(Resource.BUNDLE, path[len(_BUNDLE_PREFIX) :])
    for prefix, resource in ((_WEBHOOK_PREFIX, Resource.WEBHOOK), (_GO_PREFIX, Resource.GO)):
        if argument := _between(path, prefix, ""):
            return Found(resource, argument)
    for suffix in _SNIPPET_SUFFIXES:
        if write_key := _between(path, _SNIPPET_PREFIX, suffix):
            return Found(Resource.ANALYTICS_JS, write_key)
    for prefix in _SETTINGS_PREFIXES:
        if write_key := _between(path, prefix, _SETTINGS_SUFFIX):
            return Found(Resource.SETTINGS, write_key)
    return None


def plain_path(path: str) -> str:
    """The path as a route names it: the host of an absolute address, doubled slashes, one at the end, escapes go.

    Hosts that end in a slash, or paths that begin without, make SDKs ask for `//v1/batch` and the like.
    """
    if not path.startswith("/"):
        path = "/" + path.partition("://")[2].partition("/")[2]
    return "/" + "/".join(filter(None, unquote(path.partition("#")[0]).split("/")))


def _between(path: str, prefix: str, suffix: str) -> str:
    if path.startswith(prefix) and path.endswith(suffix):
        return path[len(prefix) : len(path) - len(suffix)]
    return ""
