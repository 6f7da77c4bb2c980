"""The lines about the sink: alone, against ClickHouse's Kafka engine, against bare INSERTs of the same bytes."""

import http.client
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlencode

import orjson

from schemas.registry import EmbeddedIds
from schemas.settings import Settings
from sinks.clickhouse.avro_container import container
from tests.bench import kafka_engine
from tests.bench.broker import Broker
from tests.bench.enriched import Rows, enrich, repeat
from tests.bench.lines import Line, require_equal
from tests.bench.machine import Meter, Others, pin
from tests.bench.rounds import Arm, Reading, Readings, in_turn, make_line
from tests.bench.rows import TABLE, EventsTable, Filled
from tests.bench.workbench import PinnedService, Workbench

NAMES = ("sink_rows_per_s", "sink_cpu_us_per_row", "sink_vs_insert", "sink_vs_kafka_engine")
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


class Filling:
    """The arms: the sink, bare INSERTs of its batches' size, and the engine, all from the same rows into one table."""

    def __init__(self, bench: Workbench, name: str = "sink") -> None:
        self._bench = bench
        self._name = name
        self._settings = bench.create_tables(bench.settings(name))
        bench.create_topics(self._settings)
        self._topic = self._settings.topic("enriched_events")
        with bench.stage("make enriched events, and put them into their topic"):
            now_ms = int(time.time() * 1000)
            self._rows = repeat(enrich(self._settings, bench.load[1], now_ms), bench.sizes.sink_copies)
            records = {partition: [{"value": value} for value in values] for partition, values in self._rows.items()}
            Broker(self._settings).produce_to(self._topic, records)
        self.total = sum(map(len, self._rows.values()))
        self.table = EventsTable(self._settings)
        self._rows_per_batch: dict[int, int] = {}
        bench.place(bench.cores.others)
        _insert(self._settings, dict(list(self._rows.items())[:2]), 20_000)  # warms the server

    def sink(self, number: int) -> Reading:
        """One round of the sink."""
        with self.by_sink(number) as reading:
            return reading

    @contextmanager
    def by_sink(self, number: int) -> Iterator[Reading]:
        """The table filled by a sink in a group of its own, on a core of its own; emptied afterwards."""
        bench, settings = self._bench, self._settings.model_copy(update={"sinks_group": f"sinks{number}"})
        bench.place(bench.cores.others)
        service = PinnedService(bench, "sinks", self._name, settings, settings.sinks_admin_port, "enriched_events")
        with self.table.emptied():
            with bench.stage(f"the sink, {self.total:,} rows"), service:
                assert service.pid is not None
                meter = Meter(service.pid)
                filled = self.table.watch(self.total, lambda: service.running)
                cpu_s, others_cpu = meter.cpu_s(), meter.others_cpu()
                batches = service.metric('tally_sinks_batches_total{outcome="written",topic="enriched_events"}')
                self.table.verify(self.total)
            self._rows_per_batch[number] = round(self.total / batches)
            figures = {"per_s": filled.per_s, "cpu_us": cpu_s / self.total * 1e6, "batch": self.total / batches}
            yield Reading(figures, others_cpu)

    def insert(self, number: int) -> Reading:
        """One round of INSERTs over HTTP; this process is the client, and has the sink's core."""
        bench = self._bench
        with self.table.emptied(), bench.stage("bare INSERTs of the same rows"):
            others = Others()
            pin(os.getpid(), bench.cores.own)
            try:
                filled = _insert(self._settings, self._rows, self._rows_per_batch[number])
            finally:
                bench.place(bench.cores.others)
            others_cpu = others.share()
            self.table.verify(self.total)
        return Reading({"per_s": filled.per_s}, others_cpu)

    def engine(self, number: int) -> Reading:
        """One round of ClickHouse's Kafka engine, writing as often as the sink does."""
        return self._engine(f"engine{number}", kafka_engine.like_the_sink(self._settings))

    def engine_defaults(self, number: int) -> Reading:
        """One round of it as it comes."""
        return self._engine(f"engine-defaults{number}", {})

    def _engine(self, name: str, tuning: Mapping[str, int]) -> Reading:
        bench = self._bench
        # The sink has a core of its own beside the server's; so the engine, which is the server, has both.
        bench.place(bench.cores.every)
        group = f"{self._settings.topic_prefix}{name}"
        with self.table.emptied(), bench.stage(f"ClickHouse's Kafka engine ({name})"):
            others = Others()
            filled = kafka_engine.consume(self.table, self._settings, self._topic, self.total, group, tuning)
            others_cpu = others.share()
            self.table.verify(self.total)
        return Reading({"per_s": filled.per_s}, others_cpu)


def lines(bench: Workbench, wanted: frozenset[str]) -> Iterator[Line]:
    """The wanted ones among `NAMES`, and those that cost nothing more; the sink is measured for each of them."""
    filling = Filling(bench)
    arms: dict[str, Arm] = {"sink": filling.sink}
    if "sink_vs_insert" in wanted:
        arms["insert"] = filling.insert
    if "sink_vs_kafka_engine" in wanted:
        arms |= {"engine": filling.engine, "engine_defaults": filling.engine_defaults}
    found = in_turn(arms, bench.sizes.rounds, bench.others_before)
    yield from _alone(found["sink"], filling.total)
    if "insert" in found:
        yield _vs_insert(found["sink"], found["insert"])
    if "engine" in found:
        yield _vs_engine(found["sink"], found["engine"], found["engine_defaults"])


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


def _alone(sink: Readings, total: int) -> Iterator[Line]:
    note = (
        f"one sink on one core, ClickHouse and Kafka on the others, {total:,} rows of 39 columns, "
        f"{sink.median('batch'):,.0f} rows a batch"
    )
    yield make_line("sink_rows_per_s", "rows/s", sink, "per_s", note=note)
    yield make_line("sink_cpu_us_per_row", "µs", sink, "cpu_us", note="user and system time of the sink; " + note)


def _vs_insert(sink: Readings, bare: Readings) -> Line:
    note = "ratio: the sink's rows/s by those of bare INSERTs over HTTP of the same Avro bytes, batches as large"
    return make_line("sink_vs_insert", "rows/s", sink, "per_s", against=(bare, "per_s"), note=note)


def _vs_engine(sink: Readings, like_the_sink: Readings, defaults: Readings) -> Line:
    settings = {"blocks as old as the sink's batches": like_the_sink, "its defaults (7.5 s a block)": defaults}
    best = max(settings, key=lambda name: settings[name].median("per_s"))
    rates = "; ".join(f"{name}: {readings.median('per_s'):,.0f} rows/s" for name, readings in settings.items())
    note = (
        "ratio: the sink's rows/s by those of ClickHouse's Kafka engine (AvroConfluent, one consumer, both cores) "
        f"from the same topic into the same table, at the better of two settings, {best} ({rates})"
    )
    return make_line("sink_vs_kafka_engine", "rows/s", sink, "per_s", against=(settings[best], "per_s"), note=note)
