"""The lines about the sink: alone, against ClickHouse's Kafka engine, against bare INSERTs of the same bytes."""

import http.client
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlencode

import orjson

from schemas.registry import EmbeddedIds
from schemas.settings import Settings
from sinks.container import container
from tests.bench import kafka_engine
from tests.bench.broker import Broker
from tests.bench.enriched import Rows, enrich, repeat
from tests.bench.lines import Line, require_equal
from tests.bench.machine import Meter, pin
from tests.bench.rows import TABLE, EventsTable, Filled
from tests.bench.workbench import PinnedService, Workbench

NAMES = ("sink_rows_per_s", "sink_vs_insert", "sink_vs_kafka_engine")
# As the sink sends them, less what its promise needs: no deduplication.
_INSERT = {
    "async_insert": 0,
    "insert_deduplicate": 0,
    "max_insert_block_size": 1 << 31,
    "min_insert_block_size_rows": 1 << 31,
    "min_insert_block_size_bytes": 0,
    "max_insert_block_size_bytes": 0,
    "input_format_max_block_size_bytes": 0,
    "wait_end_of_query": 1,
}


@dataclass(frozen=True, slots=True)
class Sunk:
    """What the sink did: how fast, at what cost to itself, in batches of what size."""

    filled: Filled
    cpu_us_per_row: float
    rows_per_batch: float


def lines(bench: Workbench, wanted: frozenset[str]) -> Iterator[Line]:
    """The wanted ones among `NAMES`; the sink is measured for each of them."""
    load = bench.load[1]
    settings = bench.create_tables(bench.settings("sink"))
    bench.create_topics(settings)
    topic, broker = settings.topic("enriched_events"), Broker(settings)
    with bench.stage("make enriched events, and put them into their topic"):
        rows = repeat(enrich(settings, load, int(time.time() * 1000)), bench.sizes.sink_copies)
        broker.produce_to(topic, {partition: [{"value": value} for value in rows[partition]] for partition in rows})
    total = sum(map(len, rows.values()))
    table = EventsTable(settings)
    bench.place(bench.cores.others)
    _insert(settings, dict(list(rows.items())[:2]), 20_000)  # warms the server
    with table.emptied(), bench.stage(f"the sink, {total:,} rows"):
        sunk = _sink(bench, settings, table, total)
        table.verify(total)
    yield _alone(sunk, total)
    if "sink_vs_insert" in wanted:
        with table.emptied(), bench.stage("bare INSERTs of the same rows"):
            pin(os.getpid(), bench.cores.own)  # this process is the client
            bare = _insert(settings, rows, max(1, round(sunk.rows_per_batch)))
            bench.place(bench.cores.others)
            table.verify(total)
        yield _vs_insert(sunk, bare)
    if "sink_vs_kafka_engine" in wanted:
        # The sink has a core of its own beside the server's; so the engine, which is the server, has both.
        bench.place(bench.cores.every)
        with table.emptied(), bench.stage("ClickHouse's Kafka engine"):
            engine = kafka_engine.consume(table, settings, topic, total)
            table.verify(total)
        yield _vs_engine(sunk, engine)


def _sink(bench: Workbench, settings: Settings, table: EventsTable, total: int) -> Sunk:
    service = PinnedService(bench, "sinks", "sink", settings, settings.sinks_admin_port, "enriched_events")
    with service:
        assert service.pid is not None
        meter = Meter(service.pid)
        filled = table.watch(total, lambda: service.running)
        cpu_s = meter.cpu_s()
        _, metrics = service.get("/metrics")
    sample = 'tally_sinks_batches_total{outcome="written",topic="enriched_events"} '
    batches = next(float(line.removeprefix(sample)) for line in metrics.splitlines() if line.startswith(sample))
    return Sunk(filled, cpu_s / total * 1e6, total / batches)


def _insert(settings: Settings, rows: Rows, rows_per_batch: int) -> Filled:
    """Send the rows partition by partition over one connection, the bytes made beforehand."""
    ids = EmbeddedIds()
    schema = orjson.dumps(ids.schema(ids.schema_id("enriched_events")))
    bodies = [
        b"".join(container(schema, values[start : start + rows_per_batch]))
        for values in rows.values()
        for start in range(0, len(values), rows_per_batch)
    ]
    query = {"query": f"INSERT INTO {TABLE} FORMAT Avro", "database": settings.clickhouse_database, **_INSERT}
    connection = http.client.HTTPConnection(settings.clickhouse_host, settings.clickhouse_http_port, timeout=60)
    started = time.monotonic()
    for body in bodies:
        connection.request("POST", f"/?{urlencode(query)}", body)
        answer = connection.getresponse()
        require_equal("answer to an INSERT", (answer.status, answer.read().decode()), (200, ""))
    wall_s = time.monotonic() - started
    connection.close()
    return Filled(sum(map(len, rows.values())), wall_s)


def _alone(sunk: Sunk, total: int) -> Line:
    note = (
        f"one sink on one core, ClickHouse and Kafka on the others, {total:,} rows of 39 columns, "
        f"{sunk.rows_per_batch:,.0f} rows a batch, {sunk.cpu_us_per_row:.2f} µs of the sink's CPU a row"
    )
    return Line("sink_rows_per_s", sunk.filled.per_s, "rows/s", note=note)


def _vs_insert(sunk: Sunk, bare: Filled) -> Line:
    note = "ratio: the sink's rows/s by those of bare INSERTs over HTTP of the same Avro bytes, batches as large"
    return Line("sink_vs_insert", sunk.filled.per_s, "rows/s", bare.per_s, sunk.filled.per_s / bare.per_s, note)


def _vs_engine(sunk: Sunk, engine: Filled) -> Line:
    note = (
        "ratio: the sink's rows/s by those of ClickHouse's Kafka engine (AvroConfluent, one consumer, both cores) "
        "from the same topic into the same table"
    )
    return Line(
        "sink_vs_kafka_engine", sunk.filled.per_s, "rows/s", engine.per_s, sunk.filled.per_s / engine.per_s, note
    )
