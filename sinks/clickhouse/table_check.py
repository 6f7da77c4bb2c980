"""Whether a table is fit for its topic, looked at once at start, and its types again when it refuses rows."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

from sinks.clickhouse.http import Connection
from sinks.errors import SinkError, TableUnfitError
from sinks.routes import Route

_UNKNOWN_DATABASE: Final = 81
_CURE: Final = "run `python -m schemas apply`"
# One retry after a day's outage must still be known: the server's own default is an hour.
_WINDOW_S_MIN: Final = 86_400
# Of a replicated table each block that is remembered is a node in Keeper.
_ADVISED: Final = {
    "non_replicated_deduplication_window": 100_000,
    "replicated_deduplication_window": 10_000,
    "replicated_deduplication_window_seconds": 604_800,
}
_DDL: Final = resources.files("schemas") / "ddl" / "clickhouse"
_COLUMN: Final = re.compile(r"^    ([a-z]\w*) +((?:\w+)(?:\([^)]*\)+)?)", re.MULTILINE)


def engine_of(connection: Connection, table: str) -> tuple[str, str]:
    """Name and full text of a table's engine. Raises TableUnfitError when there is no such table."""
    try:
        answer = connection.ask(
            "SELECT engine, engine_full FROM system.tables WHERE database = currentDatabase() "
            "AND name = {table:String} FORMAT JSONCompactEachRow",
            {"table": table},
        )
    except SinkError as error:
        if error.code == _UNKNOWN_DATABASE:
            raise TableUnfitError(f"{error.detail}: {_CURE}", error.code) from None
        raise
    if not answer:
        raise TableUnfitError(f"table {table} does not exist: {_CURE}")
    engine, full = json.loads(answer)
    return engine, full


def verify(connection: Connection, route: Route, schema: Mapping[str, Any]) -> None:
    """Raises TableUnfitError when the table cannot keep the route's promise, WriteFailedError when nobody can tell."""
    engine, full = engine_of(connection, route.table)
    types = _types(connection, route.table)
    lacking = [field["name"] for field in schema["fields"] if field["name"] not in types]
    if lacking:
        raise TableUnfitError(f"table {route.table} lacks the columns {', '.join(lacking)}: {_CURE}")
    if not engine.endswith("MergeTree"):
        raise TableUnfitError(
            f"table {route.table} is a {engine}, which cannot tell what was written: name the table on the shard"
        )
    if route.exactly_once:
        _verify_windows(connection, route.table, engine, full)
    elif "ReplacingMergeTree" not in engine:
        raise TableUnfitError(f"table {route.table} is a {engine}, which keeps every repeat of a row: {_CURE}")


@dataclass(frozen=True, slots=True)
class Types:
    """The columns of a table at one moment: their types there, and those that the contract wants, in one order."""

    found: Mapping[str, str]
    wanted: Mapping[str, str]

    @property
    def drift(self) -> str:
        """Where they differ, for people; "" when they do not."""
        return "; ".join(
            f"column {name} is {kind}, the contract says {self.wanted[name]}"
            for name, kind in self.found.items()
            if kind != self.wanted[name]
        )


def types_of(connection: Connection, table: str) -> Types:
    """Of columns that the contract does not name, the table's own type is wanted."""
    found = _types(connection, table)
    contract = contract_types(table)
    return Types(found, {name: contract.get(name, kind) for name, kind in found.items()})


def contract_types(table: str) -> dict[str, str]:
    """The type of each column, from the table's DDL."""
    return dict(_COLUMN.findall((_DDL / f"{table}.sql").read_text("utf-8")))


def is_replicated(engine: str) -> bool:
    """Whether other servers have the table as well, so that this one may lag."""
    return engine.startswith(("Replicated", "Shared"))


def window(connection: Connection, engine: str, full: str) -> int:
    """How many blocks a table of the MergeTree family remembers: as it says itself, or else the server's default."""
    name = "replicated_deduplication_window" if is_replicated(engine) else "non_replicated_deduplication_window"
    return _number(connection, full, name)


def _verify_windows(connection: Connection, table: str, engine: str, full: str) -> None:
    wanted = {"non_replicated_deduplication_window": 1}
    if is_replicated(engine):
        wanted = {"replicated_deduplication_window": 1, "replicated_deduplication_window_seconds": _WINDOW_S_MIN}
    for name, least in wanted.items():
        number = _number(connection, full, name)
        if number < least:
            advised = _ADVISED[name]
            raise TableUnfitError(
                f"table {table} forgets too early what was written ({name} is {number}), so that a batch written again "
                f"would stand twice: {_CURE}, or ALTER TABLE {table} MODIFY SETTING {name} = {advised}"
            )


def _number(connection: Connection, full: str, name: str) -> int:
    if said := re.search(rf"\b{name} = (\d+)", full):
        return int(said[1])
    query = "SELECT value FROM system.merge_tree_settings WHERE name = {name:String}"
    return int(connection.ask(query, {"name": name}) or 0)


def _types(connection: Connection, table: str) -> dict[str, str]:
    answer = connection.ask(
        "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {table:String} "
        "ORDER BY position FORMAT JSONCompactEachRow",
        {"table": table},
    )
    return dict(map(json.loads, answer.splitlines()))
