"""Whether a table is fit for its topic, looked at once at start."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from sinks.http_connection import Connection
from sinks.routes import Route
from sinks.writer import SinkError, TableUnfitError

_UNKNOWN_DATABASE: Final = 81
_CURE: Final = "run `python -m schemas apply`"
_WINDOW: Final = re.compile(r"non_replicated_deduplication_window = (\d+)")
_REPLICATED_WINDOW: Final = re.compile(r"(?<!non_)replicated_deduplication_window = (\d+)")


def verify(connection: Connection, route: Route, schema: Mapping[str, Any]) -> None:
    """Raises TableUnfitError when the table cannot keep the route's promise, WriteFailedError when nobody can tell."""
    try:
        answer = connection.ask(
            "SELECT engine, engine_full FROM system.tables WHERE database = currentDatabase() "
            "AND name = {table:String} FORMAT JSONCompactEachRow",
            {"table": route.table},
        )
    except SinkError as error:
        if error.code == _UNKNOWN_DATABASE:
            raise TableUnfitError(f"{error.detail}: {_CURE}", error.code) from None
        raise
    if not answer:
        raise TableUnfitError(f"table {route.table} does not exist: {_CURE}")
    engine, full = json.loads(answer)
    columns = connection.ask(
        "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String} FORMAT TSV",
        {"table": route.table},
    )
    lacking = [field["name"] for field in schema["fields"] if field["name"] not in set(columns.decode().split())]
    if lacking:
        raise TableUnfitError(f"table {route.table} lacks the columns {', '.join(lacking)}: {_CURE}")
    if route.exactly_once and _window(connection, engine, full) == 0:
        raise TableUnfitError(
            f"table {route.table} has no deduplication window (non_replicated_deduplication_window is 0), so that a "
            f"batch written again would stand twice: {_CURE}, or ALTER TABLE {route.table} MODIFY SETTING "
            "non_replicated_deduplication_window = 10000"
        )
    if not route.exactly_once and "ReplacingMergeTree" not in engine:
        raise TableUnfitError(f"table {route.table} is a {engine}, which keeps every repeat of a row: {_CURE}")


def _window(connection: Connection, engine: str, full: str) -> int:
    """How many blocks the table remembers: said by the table itself, or else the server's default."""
    replicated = engine.startswith(("Replicated", "Shared"))
    name = "replicated_deduplication_window" if replicated else "non_replicated_deduplication_window"
    said = (_REPLICATED_WINDOW if replicated else _WINDOW).search(full)
    if said:
        return int(said[1])
    query = "SELECT value FROM system.merge_tree_settings WHERE name = {name:String}"
    return int(connection.ask(query, {"name": name}) or 0)
