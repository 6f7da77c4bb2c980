"""Rows into ClickHouse over HTTP, as Avro, without decoding them."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from schemas.registry import current_schema
from sinks.batching import watermark
from sinks.batching.batch import Rows
from sinks.batching.schema_texts import SchemaTexts
from sinks.clickhouse.avro_container import container
from sinks.clickhouse.http import Connection
from sinks.clickhouse.table_check import Types, engine_of, is_replicated, types_of, verify
from sinks.clickhouse.views import standing
from sinks.errors import (
    RowsRefusedError,
    SinkError,
    TableUnfitError,
    TopicStoppedError,
    ViewFailedError,
    WriteFailedError,
)
from sinks.failpoints import QUESTION, Failpoint, nothing
from sinks.routes import Route
from sinks.write.writer import Position, Standing

# An INSERT is atomic only when it is one block: with the server's own limits a large one would be several, of which
# the first could stand without the others, each under a token of its own.
_ONE_BLOCK: Final = {
    "max_insert_block_size": 1 << 31,
    "min_insert_block_size_rows": 1 << 31,
    "min_insert_block_size_bytes": 0,
    "max_insert_block_size_bytes": 0,
    "input_format_max_block_size_bytes": 0,
}
_INSERT: Final[dict[str, Any]] = {
    **_ONE_BLOCK,
    "async_insert": 0,  # on by default: it would acknowledge rows that are only in memory, and merge batches
    "insert_deduplicate": 1,
    "deduplicate_blocks_in_dependent_materialized_views": 1,  # or a batch sent again would stand twice in views
    "input_format_avro_allow_missing_fields": 1,
    "max_partitions_per_insert_block": 0,  # refusing old timestamps is the collector's business, not a write's
    "wait_end_of_query": 1,  # else errors can follow a status of 200
}
# Rows of less than one granule are read together whatever an index says of them: merges make theirs, and an INSERT has
# eight files less to write.
_INDEXED_ROWS_MIN: Final = 8192
_SYNC_S: Final = 10.0
_INCOMPATIBLE: Final = 44  # ILLEGAL_COLUMN: a column's type can hold no value of its Avro type


class ClickHouseWriter:
    """A Writer for one table.

    Of a replicated table a server may not show yet what another has acknowledged. So rows are acknowledged by a
    quorum (`insert_quorum`: "auto" is most of the replicas, "0" none), and before it is asked what stands, the server
    fetches everything that is in the table's log.
    """

    def __init__(
        self,
        connection: Connection,
        route: Route,
        schemas: SchemaTexts,
        failpoint: Failpoint = nothing,
        insert_quorum: str = "auto",
    ) -> None:
        self._connection = connection
        self._route = route
        self._table = route.table
        self._schemas = schemas
        self._failpoint = failpoint
        self._insert_quorum = insert_quorum
        self._engine: str | None = None

    def verify(self) -> None:
        verify(self._connection, self._route, current_schema(self._route.topic))

    def insert(self, rows: Rows, token: str, despite_views: bool = False) -> None:
        settings = {
            "insert_deduplication_token": token,
            "materialize_skip_indexes_on_insert": int(len(rows) >= _INDEXED_ROWS_MIN),
            **self._replication(),
        }
        if despite_views:
            settings["materialized_views_ignore_errors"] = 1
        try:
            self._send(f"INSERT INTO {self._table} FORMAT Avro", rows, settings)
        except WriteFailedError as error:
            if error.code == _INCOMPATIBLE and not isinstance(error, ViewFailedError):
                self._stop_if_drifted(types_of(self._connection, self._table), error)
            raise

    def trial(self) -> Callable[[Rows], None]:
        types = types_of(self._connection, self._table)

        def attempt(rows: Rows) -> None:
            try:
                self._read(rows, types.wanted)
            except RowsRefusedError:
                if not types.drift or self._refusal(rows, types) is not None:
                    raise

        return attempt

    def present(self, partition: int, rows: Rows) -> set[int]:
        generation = watermark.generation_of(int(rows.sources[0]))
        try:
            self._failpoint(QUESTION)
        except ConnectionError as error:
            raise WriteFailedError(str(error)) from None
        settings: dict[str, Any] = {}
        if self._engine_name().startswith("Replicated"):
            # On the connection of the question: it must be this server that catches up. It fails where it cannot.
            self._connection.send(f"SYSTEM SYNC REPLICA {self._table} LIGHTWEIGHT", [], {"receive_timeout": _SYNC_S})
        elif is_replicated(self._engine_name()):
            settings["select_sequential_consistency"] = 1
        answer = self._connection.ask(
            f"SELECT source_offset FROM {self._table} WHERE source_partition = {{partition:UInt16}} "
            "AND source_generation = {generation:UInt16} "
            "AND source_offset BETWEEN {first:UInt64} AND {last:UInt64} FORMAT RowBinary",
            {
                "partition": partition,
                "generation": generation,
                "first": watermark.offset_of(int(rows.sources[0])),
                "last": watermark.offset_of(int(rows.sources[-1])),
            },
            settings,
        )
        return {watermark.pack(generation, offset) for offset in np.frombuffer(answer, np.uint64).tolist()}

    def standing(self, partition: int, rows: Rows, position: Position | None = None) -> Standing:
        return standing(self._connection, self._table, partition, rows, position)

    def drift(self) -> str:
        return types_of(self._connection, self._table).drift

    def check_types(self, rows: Rows) -> None:
        types = types_of(self._connection, self._table)
        if types.drift and (error := self._refusal(rows, types)) is not None:
            self._stop_if_drifted(types, error)

    def close(self) -> None:
        self._connection.close()

    def _send(self, query: str, rows: Rows, settings: Mapping[str, Any]) -> None:
        body = container(self._schemas.text(rows.schema_id), rows.values)
        self._connection.send(query, body, {**_INSERT, **settings}, self._failpoint)

    def _replication(self) -> dict[str, Any]:
        """Settings of an INSERT that only a replicated table heeds."""
        if not self._engine_name().startswith("Replicated"):
            return {}
        # Less than the request may take: else its answer, which says that replicas are missing, would never be heard.
        wait_ms = int(800 * self._connection.timeout_s)
        return {"insert_quorum": self._insert_quorum, "insert_quorum_parallel": 1, "insert_quorum_timeout": wait_ms}

    def _engine_name(self) -> str:
        if self._engine is None:
            try:
                self._engine, _ = engine_of(self._connection, self._table)
            except TableUnfitError as error:
                raise WriteFailedError(error.detail, error.code) from None
        return self._engine

    def _stop_if_drifted(self, types: Types, error: SinkError) -> None:
        if types.drift:
            cure = "change it back, or take the rows that it refuses out of the way"
            detail = f"table {self._table} refuses rows: {types.drift}: {cure}: {error.detail}"
            raise TopicStoppedError("type_changed", detail, types.drift) from None

    def _refusal(self, rows: Rows, types: Types) -> SinkError | None:
        """What the table's own types say of the rows; None when they read them. Raises WriteFailedError."""
        try:
            self._read(rows, types.found)
        except SinkError as error:
            if not isinstance(error, RowsRefusedError) and error.code != _INCOMPATIBLE:
                raise
            return error
        return None

    def _read(self, rows: Rows, types: Mapping[str, str]) -> None:
        """Have the server read rows for columns of these types, and store nothing. Raises SinkError."""
        structure = ", ".join(f"`{name}` {kind}" for name, kind in types.items())
        quoted = structure.replace("\\", "\\\\").replace("'", "\\'")
        self._send(f"INSERT INTO FUNCTION null('{quoted}') FORMAT Avro", rows, {})
