"""Rows into ClickHouse over HTTP, as Avro, without decoding them."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from schemas.registry import current_schema
from sinks import watermark
from sinks.batch import Rows
from sinks.container import container
from sinks.failpoints import Failpoint, nothing
from sinks.http_connection import Connection
from sinks.routes import Route
from sinks.schema_texts import SchemaTexts
from sinks.tables import verify

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
    "input_format_avro_allow_missing_fields": 1,
    "max_partitions_per_insert_block": 0,  # refusing old timestamps is the collector's business, not a write's
    "wait_end_of_query": 1,  # else errors can follow a status of 200
}


class ClickHouseWriter:
    """A Writer for one table."""

    def __init__(
        self, connection: Connection, route: Route, schemas: SchemaTexts, failpoint: Failpoint = nothing
    ) -> None:
        self._connection = connection
        self._route = route
        self._table = route.table
        self._schemas = schemas
        self._failpoint = failpoint

    def verify(self) -> None:
        verify(self._connection, self._route, current_schema(self._route.topic))

    def insert(self, rows: Rows, token: str) -> None:
        self._send(f"INSERT INTO {self._table} FORMAT Avro", rows, {"insert_deduplication_token": token})

    def trial(self) -> Callable[[Rows], None]:
        structure = self._structure().replace("\\", "\\\\").replace("'", "\\'")
        query = f"INSERT INTO FUNCTION null('{structure}') FORMAT Avro"
        return lambda rows: self._send(query, rows, {})

    def present(self, partition: int, rows: Rows) -> set[int]:
        generation = watermark.generation_of(int(rows.sources[0]))
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
        )
        return {watermark.pack(generation, offset) for offset in np.frombuffer(answer, np.uint64).tolist()}

    def close(self) -> None:
        self._connection.close()

    def _send(self, query: str, rows: Rows, settings: Mapping[str, Any]) -> None:
        body = container(self._schemas.text(rows.schema_id), rows.values)
        self._connection.send(query, body, {**_INSERT, **settings}, self._failpoint)

    def _structure(self) -> str:
        answer = self._connection.ask(
            "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {table:String} "
            "ORDER BY position FORMAT JSONCompactEachRow",
            {"table": self._table},
        )
        return ", ".join(f"`{name}` {kind}" for name, kind in map(json.loads, answer.splitlines()))
