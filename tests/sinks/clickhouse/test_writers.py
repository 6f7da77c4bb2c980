"""One suite for ClickHouse and for the table in memory that stands in for it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from schemas.registry import EmbeddedIds
from sinks.batching import watermark
from sinks.batching.batch import Rows
from sinks.batching.schema_texts import SchemaTexts
from sinks.clickhouse.avro_container import container
from sinks.clickhouse.http import Connection, Server
from sinks.clickhouse.writer import ClickHouseWriter
from sinks.errors import RowsRefusedError, WriteFailedError
from sinks.failpoints import Failpoint, nothing
from sinks.routes import ROUTES
from sinks.write.writer import Writer
from tests.sinks.memory import MemoryTable, MemoryWriter
from tests.sinks.records import NOT_A_UUID, codec, framed
from tests.sinks.rig import SinkRig


def rows(numbers: Sequence[int], poison: int | None = None, generation: int = 1) -> Rows:
    values = [framed(number, generation=generation, **(NOT_A_UUID if number == poison else {})) for number in numbers]
    sources = np.array([watermark.pack(generation, number) for number in numbers], np.int64)
    return Rows(codec("enriched_events").schema_id, list(numbers), values, [None] * len(values), sources)


def server(rig: SinkRig, port: int | None = None, timeout_s: float = 30.0) -> Server:
    settings = rig.settings
    http_port = settings.clickhouse_http_port if port is None else port
    return Server(settings.clickhouse_host, http_port, settings.clickhouse_database, "default", "", timeout_s)


def schemas() -> SchemaTexts:
    texts = SchemaTexts("enriched_events", EmbeddedIds())
    assert texts.verdict(codec("enriched_events").schema_id) is None
    return texts


def clickhouse(rig: SinkRig, port: int | None = None, timeout_s: float = 30.0) -> ClickHouseWriter:
    return ClickHouseWriter(Connection(server(rig, port, timeout_s)), ROUTES["enriched_events"], schemas())


@pytest.fixture(params=["memory", pytest.param("clickhouse", marks=pytest.mark.integration)])
def subject(request: pytest.FixtureRequest) -> tuple[Writer, Callable[[], list[int]]]:
    """A writer, and what says which source offsets stand in its table, repeats included."""
    if request.param == "memory":
        table = MemoryTable()
        writer = MemoryWriter(table, refuses=lambda value: b"no uuid" in value)
        return writer, lambda: sorted(watermark.offset_of(source) for _, source in table.sources)
    rig: SinkRig = request.getfixturevalue("rig")
    return clickhouse(rig), lambda: [offset for _, _, offset in rig.sources()]


Subject = tuple[Writer, Callable[[], list[int]]]


def test_an_insert_makes_all_rows_visible(subject: Subject) -> None:
    writer, stored = subject
    writer.verify()
    writer.insert(rows(range(50)), "a")
    assert stored() == list(range(50))


def test_a_token_writes_once_whatever_comes_under_it(subject: Subject) -> None:
    writer, stored = subject
    writer.insert(rows(range(5)), "a")
    writer.insert(rows(range(5)), "a")
    writer.insert(rows(range(20, 25)), "a")
    assert stored() == list(range(5))
    writer.insert(rows(range(5, 8)), "b")
    assert stored() == list(range(8))


@pytest.mark.parametrize("place", [0, 25, 49])
def test_a_refused_insert_writes_nothing_spends_no_token_and_names_the_row(subject: Subject, place: int) -> None:
    writer, stored = subject
    with pytest.raises(RowsRefusedError) as refused:
        writer.insert(rows(range(50), poison=place), "a")
    assert refused.value.row == place
    assert not refused.value.retryable
    assert stored() == []
    writer.insert(rows(range(50)), "a")
    assert stored() == list(range(50))


def test_a_trial_refuses_what_an_insert_would_and_stores_nothing(subject: Subject) -> None:
    writer, stored = subject
    attempt = writer.trial()
    attempt(rows(range(50)))
    with pytest.raises(RowsRefusedError):
        attempt(rows(range(50), poison=7))
    assert stored() == []


def test_present_tells_every_source_between_the_first_and_the_last_of_the_rows(subject: Subject) -> None:
    writer, _ = subject
    assert writer.present(0, rows(range(10))) == set()
    writer.insert(rows(range(3, 7)), "a")
    there = {watermark.pack(1, number) for number in range(3, 7)}
    assert writer.present(0, rows(range(10))) == there
    assert writer.present(0, rows([0, 4, 9])) == there
    assert writer.present(0, rows([5, 6])) == {watermark.pack(1, 5), watermark.pack(1, 6)}
    assert writer.present(0, rows([7, 9])) == set()


def test_present_keeps_partitions_and_generations_apart(subject: Subject) -> None:
    writer, _ = subject
    writer.insert(rows(range(5)), "a")
    assert writer.present(1, rows(range(5))) == set()
    assert writer.present(0, rows(range(5), generation=2)) == set()
    writer.insert(rows(range(5), generation=2), "b")
    assert writer.present(0, rows(range(5))) == {watermark.pack(1, number) for number in range(5)}


class Cutting(Connection):
    """To a server whose own settings cut inserts into blocks of 1,000 rows."""

    def send(
        self, query: str, body: Sequence[bytes], settings: Mapping[str, Any], failpoint: Failpoint = nothing
    ) -> bytes:
        cutting = {
            "max_insert_block_size": 1_000,
            "min_insert_block_size_rows": 1_000,
            "min_insert_block_size_bytes": 1,
        }
        return super().send(query, body, {**cutting, **settings}, failpoint)


def test_an_insert_is_one_block_also_where_the_server_would_cut_it(rig: SinkRig) -> None:
    rig.query("SYSTEM STOP MERGES {db}.events")
    parts = "SELECT count() FROM system.parts WHERE database = '{db}' AND table = 'events' AND active"
    connection = Cutting(server(rig))
    body = container(schemas().text(codec("enriched_events").schema_id), rows(range(3_000)).values)
    connection.send("INSERT INTO events FORMAT Avro", body, {"async_insert": 0})
    assert rig.number(parts) == 3
    ClickHouseWriter(connection, ROUTES["enriched_events"], schemas()).insert(rows(range(3_000, 6_000)), "a")
    assert rig.number(parts) == 4


def test_an_insert_makes_indexes_from_the_rows_of_a_granule_on(rig: SinkRig) -> None:
    rig.query("SYSTEM STOP MERGES {db}.events")
    writer = clickhouse(rig)
    writer.insert(rows(range(8191)), "fewer")
    writer.insert(rows(range(10_000, 18_192)), "as many")
    of_parts = (
        "SELECT groupArray((rows, indexed)) FROM (SELECT rows, secondary_indices_compressed_bytes > 0 AS indexed "
        "FROM system.parts WHERE active AND database = '{db}' AND table = 'events' ORDER BY rows)"
    )
    assert rig.query(of_parts).strip() == "[(8191,0),(8192,1)]"
    rig.query("SYSTEM START MERGES {db}.events")
    rig.query("OPTIMIZE TABLE {db}.events FINAL")  # a merge makes them for all
    assert rig.query(of_parts).strip() == "[(16383,1)]"


def test_a_server_that_is_not_there_is_worth_another_try(rig: SinkRig) -> None:
    writer = clickhouse(rig, port=1)
    for call in (writer.verify, lambda: writer.insert(rows(range(2)), "a"), writer.trial):
        with pytest.raises(WriteFailedError):
            call()


def test_after_a_failure_the_connection_is_opened_anew(rig: SinkRig) -> None:
    failures = iter([ConnectionResetError()])

    def fails_once(_name: str) -> None:
        for failure in failures:
            raise failure

    writer = ClickHouseWriter(Connection(server(rig)), ROUTES["enriched_events"], schemas(), fails_once)
    with pytest.raises(WriteFailedError):
        writer.insert(rows(range(2)), "a")
    writer.insert(rows(range(2)), "a")
    writer.close()
    writer.insert(rows(range(2, 4)), "b")
    assert rig.rows() == 4
