"""A replica that lags: what it does not show is not taken for absent, and each row stands once."""

import time
from threading import Event

import numpy as np
import pytest

from sinks.batching import watermark
from sinks.batching.batch import Batch, Rows
from sinks.batching.schema_texts import SchemaTexts
from sinks.clickhouse.table_check import verify
from sinks.clickhouse.writer import ClickHouseWriter
from sinks.errors import TableUnfitError
from sinks.routes import ROUTES
from sinks.write.attempts import Way
from sinks.write.delivery import AbandonedError, Delivery
from sinks.write.healing import Healing
from tests.sinks.memory import MemoryDeadLetters, MemoryReport, MemoryTable, MemoryWriter
from tests.sinks.records import codec, framed
from tests.sinks.replicas import SETTINGS, Cluster, Replica

ROUTE = ROUTES["enriched_events"]
ROWS = 100


def batch(doubtful: bool = False) -> Batch:
    values = [framed(offset) for offset in range(ROWS)]
    sources = np.array([watermark.pack(1, offset) for offset in range(ROWS)], np.int64)
    rows = Rows(codec("enriched_events").schema_id, list(range(ROWS)), values, [b"k"] * ROWS, sources)
    return Batch("enriched_events", 0, 0, ROWS, -1, int(sources[-1]), rows, (), 0, 0, 1, 0.0, doubtful)


class GivesUp(MemoryReport):
    """An owner that is told to stop at its second failure."""

    def __init__(self, abandoned: Event) -> None:
        super().__init__()
        self._abandoned = abandoned

    def database(self, up: bool) -> None:
        super().database(up)
        if self.up.count(False) > 1:
            self._abandoned.set()


def deliver(replica: Replica, given: Batch) -> MemoryReport:
    schemas = SchemaTexts("enriched_events", codec("enriched_events")._ids)
    schemas.verdict(given.rows.schema_id)
    abandoned = Event()
    report = GivesUp(abandoned)
    writer = ClickHouseWriter(replica, ROUTE, schemas)
    healing = Healing(writer, report, 1 << 20, 5.0, time.monotonic)
    delivery = Delivery(
        Way(ROUTE, writer, MemoryDeadLetters(), healing), lambda _: [], 0.001, 1e9, time.monotonic, report
    )
    delivery.deliver(given, time.monotonic(), abandoned)
    return report


@pytest.mark.parametrize("engine", ["ReplicatedMergeTree", "SharedMergeTree"])
def test_a_batch_redone_on_a_replica_that_lags_stands_once(engine: str) -> None:
    cluster = Cluster(engine)
    deliver(Replica(cluster), batch())
    deliver(Replica(cluster), batch(doubtful=True))
    assert cluster.offsets == list(range(ROWS))


def test_a_replica_that_cannot_catch_up_is_waited_for() -> None:
    cluster = Cluster()
    deliver(Replica(cluster), batch())
    cluster.reachable = False
    with pytest.raises(AbandonedError):
        deliver(Replica(cluster), batch(doubtful=True))
    assert cluster.offsets == list(range(ROWS))
    cluster.reachable = True
    deliver(Replica(cluster), batch(doubtful=True))
    assert cluster.offsets == list(range(ROWS))


def test_a_replica_that_is_believed_as_it_lags_doubles_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sinks.clickhouse.writer.is_replicated", lambda _engine: False)
    cluster = Cluster("SharedMergeTree")
    deliver(Replica(cluster), batch())
    deliver(Replica(cluster), batch(doubtful=True))
    assert cluster.offsets == sorted([*range(ROWS)] * 2)


def test_rows_of_a_replicated_table_count_when_most_replicas_have_them() -> None:
    cluster = Cluster()
    cluster.live = 1
    with pytest.raises(AbandonedError):
        deliver(Replica(cluster), batch())
    assert cluster.offsets == []


def test_an_ordinary_batch_costs_one_statement_besides_the_first_look_at_the_table() -> None:
    replica = Replica(Cluster())
    deliver(replica, batch())
    assert [query.split()[0] for query, _ in replica.statements] == ["SELECT", "INSERT"]


def test_the_server_that_is_asked_is_the_one_that_was_made_to_catch_up() -> None:
    cluster = Cluster()
    deliver(Replica(cluster), batch())
    second = Replica(cluster)
    deliver(second, batch(doubtful=True))
    queries = [query for query, _ in second.statements]
    sync = next(
        index for index, query in enumerate(queries) if query.startswith("SYSTEM SYNC REPLICA events LIGHTWEIGHT")
    )
    assert queries[sync + 1].startswith("SELECT source_offset")


class Described(Replica):
    """With columns, as `verify` reads them."""

    def ask(self, query: str, parameters: object = None, settings: object = None) -> bytes:
        if "FROM system.columns" in query:
            fields = [field["name"] for field in codec("enriched_events")._schema["fields"]]
            return b"\n".join(f'["{name}","String"]'.encode() for name in fields)
        if "merge_tree_settings" in query:
            return b"3600" if "seconds" in str(parameters) else b"10000"
        return self.send(query, [], {})


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ("replicated_deduplication_window = 0, replicated_deduplication_window_seconds = 604800", "window is 0"),
        ("replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 0", "seconds is 0"),
        ("replicated_deduplication_window = 10000, index_granularity = 8192", "seconds is 3600"),
        ("non_replicated_deduplication_window = 10000", "seconds is 3600"),
    ],
)
def test_a_replicated_table_that_forgets_too_early_is_refused(settings: str, named: str) -> None:
    with pytest.raises(TableUnfitError, match=named):
        verify(Described(Cluster(), settings), ROUTE, {"fields": []})


def test_a_replicated_table_with_both_windows_is_taken() -> None:
    verify(Described(Cluster(), SETTINGS), ROUTE, {"fields": []})


def test_a_distributed_table_is_refused() -> None:
    with pytest.raises(TableUnfitError, match="Distributed"):
        verify(Described(Cluster("Distributed"), ""), ROUTE, {"fields": []})


@pytest.mark.parametrize("credulous", [False, True])
def test_rows_that_are_stored_and_not_yet_visible_stand_once_unless_absence_is_believed(credulous: bool) -> None:
    table = MemoryTable()
    table.lag()
    abandoned = Event()
    report = GivesUp(abandoned)
    writer = MemoryWriter(table, credulous=credulous)
    healing = Healing(writer, report, 1 << 20, 5.0, time.monotonic)
    delivery = Delivery(
        Way(ROUTE, writer, MemoryDeadLetters(), healing), lambda _: [], 0.001, 1e9, time.monotonic, report
    )
    delivery.deliver(batch(), time.monotonic(), abandoned)
    if credulous:
        delivery.deliver(batch(doubtful=True), time.monotonic(), abandoned)
        assert len(table.rows) == 2 * ROWS
        return
    with pytest.raises(AbandonedError):
        delivery.deliver(batch(doubtful=True), time.monotonic(), abandoned)
    table.catch_up()
    delivery.deliver(batch(doubtful=True), time.monotonic(), Event())
    assert len(table.rows) == ROWS
