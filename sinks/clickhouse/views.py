"""What fills from a ClickHouse table at each INSERT, and whether the same rows under the same token double there."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sinks.batching import watermark
from sinks.batching.batch import Rows
from sinks.clickhouse.http import Connection
from sinks.clickhouse.table_check import is_replicated, window
from sinks.errors import RowsRefusedError, WriteFailedError
from sinks.write.writer import JUST_NOW, Place, Position, Standing, Version

_CLOCKS_APART_S: Final = 60.0  # Kafka's and ClickHouse's
_DEPTH_MAX: Final = 20
_TABLES: Final = (
    "SELECT database, name, uuid, engine, engine_full, arrayZip(dependencies_database, dependencies_table) AS views, "
    "target_database, target_table, as_select, toUnixTimestamp(metadata_modification_time) FROM system.tables "
    "WHERE (database, name) IN {names:Array(Tuple(String, String))} FORMAT JSONCompactEachRow"
)
# INSERTs so far, and those before a moment: a part that was there at that moment has no later block in it. Blocks are
# numbered by table, on replicated ones by partition. What was merged since is counted as later, never as earlier.
_POSITIONS: Final = (
    "SELECT {fold}(newest), {fold}(before) FROM (SELECT max(max_block_number) AS newest, "
    "maxIf(max_block_number, modification_time < fromUnixTimestamp64Milli({moment:Int64})) AS before "
    "FROM system.parts WHERE database = {database:String} AND table = {table:String} GROUP BY partition_id) "
    "FORMAT JSONCompactEachRow"
)
_REFUSED: Final = (
    "SELECT count() FROM dead_letters WHERE stage = 'sinks' AND source_partition = {partition:Int32} "
    "AND source_offset BETWEEN {first:Int64} AND {last:Int64}"
)

_Name = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Table:
    """A row of system.tables."""

    name: _Name
    uuid: str
    engine: str
    full: str
    views: Sequence[_Name]
    target: _Name
    select: str
    changed_s: int

    @property
    def version(self) -> Version:
        """Of a view. The time alone has whole seconds."""
        return Version(self.uuid, f"{self.changed_s} {self.select}")


def standing(connection: Connection, table: str, partition: int, rows: Rows, position: Position | None) -> Standing:
    """What is known of rows that stand in `table` of the connection's database. Raises WriteFailedError."""
    base = (connection.database, table)
    try:
        tables = {found.name: found for found in _walk(connection, base)}
        if base not in tables:
            return Standing(unseen=[".".join(base)])
        views = [found for found in tables.values() if found.engine == "MaterializedView"]
        direct = tables[base].views
        names = {".".join(name): Version("", "") for name in direct}
        names |= {".".join(view.name): view.version for view in views}
        if not names and position is None:
            return Standing()
        statements = [_fill_statement(tables[name], base, partition, rows) for name in direct if name in tables]
        if position is None and _were_refused(connection, partition, rows):
            return Standing(names, "rows among them were dead letters, and may have come by replay", {}, statements)
        if position is None and (newer := _newer(views, rows)):
            return Standing(names, f"{newer} was made or altered after they came, and may have them", {}, statements)
        targets = {view.target for view in views}
        unseen = ({name for found in tables.values() for name in found.views} | targets) - tables.keys()
        taking = [tables[base], *(tables[target] for target in sorted(targets & tables.keys()))]
        obstacle, found = _obstacle(connection, taking, rows, position)
        return Standing(names, obstacle, found, statements, [".".join(name) for name in sorted(unseen)])
    except RowsRefusedError as error:  # which a question should not be answered with
        raise WriteFailedError(error.detail, error.code) from None


def _walk(connection: Connection, base: _Name) -> Iterator[_Table]:
    """The table, the views on it, their targets, the views on those, and so on; without those not to be seen."""
    waiting, seen = [base], {base}
    for _ in range(_DEPTH_MAX):
        if not waiting:
            return
        names = "[" + ",".join(f"({_quoted(database)},{_quoted(name)})" for database, name in waiting) + "]"
        waiting = []
        for line in connection.ask(_TABLES, {"names": names}).splitlines():
            database, name, uuid, engine, full, named, target_database, target, select, changed_s = json.loads(line)
            views, fills = [(view[0], view[1]) for view in named], (target_database, target)
            table = _Table((database, name), uuid, engine, full, views, fills, select, int(changed_s))
            yield table
            follows = [*table.views, table.target] if table.engine == "MaterializedView" else table.views
            waiting += [following for following in follows if following not in seen]
            seen.update(follows)


def _obstacle(
    connection: Connection, tables: Sequence[_Table], rows: Rows, position: Position | None
) -> tuple[str | None, Position]:
    """Why the rows must not be sent again, and where all tables are that take them."""
    places: dict[str, Place] = {}
    for taking in tables:
        label = ".".join(taking.name)
        size = window(connection, taking.engine, taking.full) if taking.engine.endswith("MergeTree") else 0
        if not size:
            return f"{label} has no deduplication window: the same rows would stand twice in it", {}
        newest, before = _position(connection, taking, rows)
        known = Place(taking.uuid, newest if position == JUST_NOW else before)
        if position:
            known = position.get(label, known)
        if known.made != taking.uuid:
            return f"{label} was made anew: it lacks more than these rows, or was filled with them", {}
        places[label] = known
        # Half of the window, since others insert while this is asked and done.
        if not 0 <= newest - known.inserts < max(1, size // 2):
            return f"{label} may have forgotten the token: {newest - known.inserts} INSERTs ago, it keeps {size}", {}
    return None, places


def _position(connection: Connection, table: _Table, rows: Rows) -> tuple[int, int]:
    """INSERTs into a table so far, and those before these rows can have come."""
    moment_ms = int(rows.timestamps.max()) - int(1000 * _CLOCKS_APART_S) if len(rows.timestamps) else 0
    fold = "sum" if is_replicated(table.engine) else "max"
    answer = connection.ask(
        _POSITIONS.replace("{fold}", fold),
        {"moment": moment_ms, "database": table.name[0], "table": table.name[1]},
    )
    newest, before = json.loads(answer)
    return int(newest), int(before)


def _newer(views: Sequence[_Table], rows: Rows) -> str:
    """The views that are younger than the rows: filled when they were made, or known by another token since."""
    came_s = int(rows.timestamps.max()) // 1000 if len(rows.timestamps) else 0
    return ", ".join(".".join(view.name) for view in views if came_s and view.changed_s > came_s)


def _were_refused(connection: Connection, partition: int, rows: Rows) -> bool:
    """Whether some of the rows were dead letters once: such a row may have come under a token of its own."""
    bounds = {"partition": partition, "first": rows.offsets[0], "last": rows.offsets[-1]}
    return int(connection.ask(_REFUSED, bounds) or 0) > 0


def _fill_statement(view: _Table, base: _Name, partition: int, rows: Rows) -> str:
    """The statement that fills a view with these rows; whoever runs it takes out first what the view has of them."""
    rows_filter = "1"  # which rows of an upserted table it lacks nobody can tell: all of them
    if len(rows.sources):
        first, last = int(rows.sources[0]), int(rows.sources[-1])
        rows_filter = (
            f"source_generation = {watermark.generation_of(first)} AND source_partition = {partition} "
            f"AND source_offset BETWEEN {watermark.offset_of(first)} AND {watermark.offset_of(last)}"
        )
    filters = f"{{{_quoted('.'.join(base))}: {_quoted(rows_filter)}}}"
    target = ".".join(f"`{part}`" for part in view.target)
    return f"INSERT INTO {target} {view.select} SETTINGS additional_table_filters = {filters}"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
