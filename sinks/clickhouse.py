"""Rows into ClickHouse over HTTP, as Avro, without decoding them."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from schemas.registry import current_schema
from sinks import watermark
from sinks.batch import Rows
from sinks.container import container
from sinks.failpoints import QUESTION, Failpoint, nothing
from sinks.http_connection import Connection
from sinks.routes import Route
from sinks.schema_texts import SchemaTexts
from sinks.tables import check_types, engine_of, is_replicated, verify
from sinks.views import standing
from sinks.writer import Position, Standing, TableUnfitError, WriteFailedError

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
_SYNC_S: Final = 10.0


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
        settings = {"insert_deduplication_token": token, **self._replication()}
        if despite_views:
            settings["materialized_views_ignore_errors"] = 1
        self._send(f"INSERT INTO {self._table} FORMAT Avro", rows, settings)

    def trial(self) -> Callable[[Rows], None]:
        structure = self._structure().replace("\\", "\\\\").replace("'", "\\'")
        query = f"INSERT INTO FUNCTION null('{structure}') FORMAT Avro"
        return lambda rows: self._send(query, rows, {})

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

    def check_types(self) -> None:
        check_types(self._connection, self._table)

    def close(self) -> None:
        self._connection.close()

    def _send(self, query: str, rows: Rows, settings: Mapping[str, Any]) -> None:
        body = container(self._schemas.text(rows.schema_id), rows.values)
        self._connection.send(query, body, {**_INSERT, **settings}, self._failpoint)

    def _replication(self) -> dict[str, Any]:
        """Settings of an INSERT that only a replicated table heeds."""
        if not self._engine_name().startswith("Replicated"):
            return {}
        # Less than the request may take: else its answer, which says that replicas lack, would never be heard.
        wait_ms = int(800 * self._connection.timeout_s)
        return {"insert_quorum": self._insert_quorum, "insert_quorum_parallel": 1, "insert_quorum_timeout": wait_ms}

    def _engine_name(self) -> str:
        if self._engine is None:
            try:
                self._engine, _ = engine_of(self._connection, self._table)
            except TableUnfitError as error:
                raise WriteFailedError(error.detail, error.code) from None
        return self._engine

    def _structure(self) -> str:
        answer = self._connection.ask(
            "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {table:String} "
            "ORDER BY position FORMAT JSONCompactEachRow",
            {"table": self._table},
        )
        return ", ".join(f"`{name}` {kind}" for name, kind in map(json.loads, answer.splitlines()))
