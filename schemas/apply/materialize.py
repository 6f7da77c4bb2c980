"""A column of `events` for a property that is asked for often: `python -m schemas materialize`.

The column is computed by ClickHouse from the JSON of each row that is inserted. Rows that stand already are filled in
the background, part by part; until then questions read the JSON (see `schemas.properties`).
Rejected: one column of type JSON for all properties (see the README for the figures).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from clickhouse_driver import Client

from schemas.apply import property_views
from schemas.apply.findings import ApplyError
from schemas.properties import (
    MaterializedProperty,
    PropertyType,
    catalogue,
    column_of,
    property_expression,
    property_keys,
    property_name,
    sql_text,
)

# LowCardinality is smaller, and faster to insert and to group by, also for thousands of values.
_COLUMN_TYPES: Final = {
    PropertyType.STRING: "LowCardinality(Nullable(String)) CODEC(ZSTD(1))",
    PropertyType.FLOAT64: "Nullable(Float64) CODEC(ZSTD(1))",
    PropertyType.INT64: "Nullable(Int64) CODEC(ZSTD(1))",
    PropertyType.BOOL: "Nullable(Bool)",
    PropertyType.DATETIME: "Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1))",
}
_SEARCH_S: Final = 10  # how long a property is looked for
_SAMPLED_ROWS: Final = 100_000
_NAMES_MAX: Final = 20
_OWN: Final = "database = currentDatabase() AND table = 'events'"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the rows that stood before are filled. error: why the last try of a part failed."""

    parts: int
    lacking: int
    is_running: bool
    error: str = ""


@dataclass(frozen=True, slots=True)
class Size:
    """Of a materialized property's column: bytes on disk, parts that have it, parts of the table."""

    entry: MaterializedProperty
    compressed_bytes: int
    parts_filled: int
    parts: int


def wanted(name: str, kind: PropertyType, project_id: str | None) -> MaterializedProperty:
    """The entry for a property. Raises ApplyError for a name that is none."""
    try:
        keys = property_keys(name)
    except ValueError as error:
        raise ApplyError(str(error)) from None
    canonical = property_name(*keys)
    return MaterializedProperty(canonical, kind, column_of(canonical, project_id), project_id)


def definition(entry: MaterializedProperty) -> str:
    """The column as ALTER TABLE … ADD COLUMN takes it."""
    expression = property_expression(entry.name, entry.type)
    if entry.project_id is not None:
        expression = f"if(project_id = {sql_text(entry.project_id)}, {expression}, NULL)"
    kind, _, codec = _COLUMN_TYPES[entry.type].partition(" CODEC")
    comment = f"COMMENT {sql_text(entry.comment)}"
    return f"{entry.column} {kind} MATERIALIZED {expression} {comment}" + (f" CODEC{codec}" if codec else "")


def check_project(client: Client, project_id: str) -> None:
    """Raises ApplyError when there is no such project, naming some that there are."""
    projects = client.execute("SELECT toString(project_id), name FROM projects FINAL ORDER BY name")
    if project_id not in {known for known, _ in projects}:
        some = ", ".join(f"{known} ({name})" for known, name in projects[:_NAMES_MAX]) or "none"
        raise ApplyError(f"no such project: {project_id!r}; there are {some}")


def find_entry(client: Client, entry: MaterializedProperty) -> MaterializedProperty | None:
    """The same property as it stands in the table, or None.

    Raises ApplyError when it has another type, or when the column's name is taken by something else.
    """
    known = {other.column: other for other in catalogue(client)}
    for other in known.values():
        if (other.name, other.project_id) == (entry.name, entry.project_id):
            if other.type is not entry.type:
                raise ApplyError(
                    f"property {entry.name} has a column as {other.type} already: drop that first (--drop), or ask for "
                    f"--type {other.type}"
                )
            return other
    if taken := client.execute(f"SELECT name, comment FROM system.columns WHERE {_OWN} AND name = '{entry.column}'"):
        owner = known.get(entry.column)
        whose = f"property {owner.name}" if owner else f"somebody else's column (comment: {taken[0][1]!r})"
        raise ApplyError(f"column {entry.column} is there already, as {whose}: rename or drop it first")
    return None


def add(client: Client, entry: MaterializedProperty) -> None:
    """Add the column; nothing when it is there."""
    client.execute(f"ALTER TABLE events ADD COLUMN IF NOT EXISTS {definition(entry)}")


def start_filling(client: Client, entry: MaterializedProperty) -> Progress:
    """Have the rows that stand already filled in the background, unless that is under way or done."""
    progress = read_progress(client, entry)
    if progress.lacking and not progress.is_running:
        # 0: do not wait. The server goes on with it when this process ends, and after a restart.
        client.execute(f"ALTER TABLE events MATERIALIZE COLUMN {entry.column} SETTINGS mutations_sync = 0")
        progress = read_progress(client, entry)
    return progress


def read_progress(client: Client, entry: MaterializedProperty) -> Progress:
    """How many parts lack the column on disk, and whether ClickHouse is at work on it."""
    ((parts, filled),) = client.execute(
        f"SELECT uniqExact(name), uniqExactIf(name, column = '{entry.column}') FROM system.parts_columns "
        f"WHERE {_OWN} AND active AND rows > 0"
    )
    running = client.execute(
        f"SELECT latest_fail_reason FROM system.mutations WHERE {_OWN} AND NOT is_done "
        f"AND match(command, 'MATERIALIZE COLUMN `?{entry.column}`?\\\\b')"
    )
    return Progress(parts, parts - filled, bool(running), next((reason for (reason,) in running if reason), ""))


def occurs(client: Client, entry: MaterializedProperty) -> bool:
    """Whether an event has the property, among those that can be looked at in ten seconds."""
    has = f"JSONHas(properties, {', '.join(map(sql_text, property_keys(entry.name)))})"
    return bool(
        client.execute(
            f"SELECT 1 FROM events WHERE {has}{_of_project(entry, ' AND ')} LIMIT 1 "
            f"SETTINGS max_execution_time = {_SEARCH_S}, timeout_overflow_mode = 'break'"
        )
    )


def sample_names(client: Client, entry: MaterializedProperty) -> list[str]:
    """Names of properties that do occur, the most frequent first; those of members of objects too."""
    document = f"(SELECT properties FROM events{_of_project(entry, ' WHERE ')} LIMIT {_SAMPLED_ROWS})"
    rows = client.execute(
        "SELECT path, count() AS times FROM (SELECT arrayJoin(arrayConcat("
        "arrayMap(key -> [key], JSONExtractKeys(properties)), "
        "arrayMap(pair -> [pair.1, pair.2], arrayFlatten(arrayMap(key -> arrayMap(inner -> (key, inner), "
        "JSONExtractKeys(properties, key)), JSONExtractKeys(properties)))))) AS path "
        f"FROM {document}) GROUP BY path ORDER BY times DESC, path LIMIT {_NAMES_MAX}"
    )
    return [property_name(*path) for path, _ in rows]


def _of_project(entry: MaterializedProperty, word: str) -> str:
    return "" if entry.project_id is None else f"{word}project_id = {sql_text(entry.project_id)}"


def sizes(client: Client) -> list[Size]:
    """Every materialized property."""
    rows: list[tuple[Any, ...]] = client.execute(
        "SELECT column, sum(column_data_compressed_bytes), uniqExact(name) FROM system.parts_columns "
        f"WHERE {_OWN} AND active AND rows > 0 AND startsWith(column, 'property_') GROUP BY column"
    )
    found = {column: (size, parts) for column, size, parts in rows}
    ((parts,),) = client.execute(f"SELECT count() FROM system.parts WHERE {_OWN} AND active AND rows > 0")
    return [Size(entry, *found.get(entry.column, (0, 0)), parts) for entry in catalogue(client)]


def users_of(client: Client, entry: MaterializedProperty) -> Iterator[str]:
    """Views that name the column or have it: they would fail without it. The contract's follow.

    Of another database those that read this one, named with their database.
    """
    following = property_views.ours(client)
    rows = client.execute(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND name != 'events' "
        "AND NOT startsWith(name, '_contract_') "
        f"AND (match(as_select, '\\\\b{entry.column}\\\\b') OR engine = 'View' AND name IN (SELECT table FROM "
        f"system.columns WHERE database = currentDatabase() AND name = '{entry.column}')) ORDER BY name"
    )
    yield from (name for (name,) in rows if name not in following)
    ours = "[currentDatabase(), concat('`', currentDatabase(), '`')]"
    reads = f"arrayExists(name -> position(as_select, concat(name, '.')) > 0, {ours})"
    elsewhere = client.execute(
        "SELECT concat(database, '.', name) FROM system.tables WHERE database != currentDatabase() "
        f"AND {reads} AND (match(as_select, '\\\\b{entry.column}\\\\b') OR (database, name) IN (SELECT database, table "
        f"FROM system.columns WHERE name = '{entry.column}')) ORDER BY database, name"
    )
    yield from (name for (name,) in elsewhere)


def drop(client: Client, entry: MaterializedProperty) -> None:
    """Drop the column, first from the views; the property stays in the JSON of every row."""
    # A filling under way would begin again with each part, and fail on the missing column.
    client.execute(
        f"KILL MUTATION WHERE {_OWN} AND NOT is_done "
        f"AND match(command, 'MATERIALIZE COLUMN `?{entry.column}`?\\\\b') SYNC"
    )
    property_views.leave_out(client, entry.column)
    client.execute(f"ALTER TABLE events DROP COLUMN IF EXISTS {entry.column}")
    property_views.follow(client)
