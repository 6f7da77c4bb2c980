"""The line about the whole pipeline: from the collector's answer to the row being there for a query."""

import http.client
import os
from collections.abc import Callable, Iterator
from typing import Final

from docker.local.process import HOST
from docker.local.services import Pipeline
from tests.bench.broker import wait_until
from tests.bench.lines import Line, quantile, require_equal
from tests.bench.machine import Meter
from tests.bench.steady import EVENTS_PER_REQUEST, Sender, Watcher
from tests.bench.workbench import WRITE_KEY, Workbench

NAMES = ("end_to_end_p95_s",)
_DATABASE: Final = "end_to_end"
_ASK_S: Final = 0.05
_LANDED_TIMEOUT_S: Final = 60.0


def lines(bench: Workbench, _wanted: frozenset[str]) -> Iterator[Line]:
    """The line; one process of each kind, default settings, no process bound to a core."""
    kafka, clickhouse = bench.kafka, bench.clickhouse
    bench.place(bench.cores.every)
    settings = bench.settings("whole", partitions=12)
    geo = {name: getattr(settings, name) for name in ("streams_geo_country_path", "streams_geo_city_path")}
    with bench.stage("make topics and tables"):
        pipeline = Pipeline(
            bench.home / "whole", kafka, clickhouse, database=_DATABASE, topic_prefix="whole_", partitions=12, **geo
        )
        pipeline.run("schemas", "apply")
        pipeline.add_project("bench", "--write-key", WRITE_KEY)
    try:
        with bench.stage("start the pipeline"):
            pipeline.start_services()
        yield _measure(bench, pipeline)
    finally:
        pipeline.stop()


def _measure(bench: Workbench, pipeline: Pipeline) -> Line:
    sizes = bench.sizes
    per_s = sizes.steady_events_per_s / EVENTS_PER_REQUEST
    warm_up, measured = int(sizes.steady_warm_up_s * per_s), int(sizes.steady_s * per_s)
    sender = Sender(pipeline.settings.collector_port, pipeline.write_key, bench.traffic(sizes.visitors))
    watcher = Watcher(_asker(pipeline, sender.run), sender.answered, _ASK_S)
    watcher.start()
    try:
        with bench.stage(f"{sizes.steady_events_per_s:,} events/s for {sizes.steady_warm_up_s + sizes.steady_s:.0f} s"):
            sender.send(range(warm_up), per_s)
            meters = _meters(bench, pipeline)
            seconds = sender.send(range(warm_up, warm_up + measured), per_s)
            busy = ", ".join(f"{name} {meter.cpu_s() / seconds:.2f}" for name, meter in meters.items())
        total = warm_up + measured
        with bench.stage("wait for the last rows"):
            wait_until(lambda: len(watcher.seen) >= total, "the last samples", _LANDED_TIMEOUT_S)
    finally:
        watcher.stop()
    counted = f"SELECT count(), uniqExact(message_id) FROM events WHERE startsWith(client_message_id, '{sender.run}-')"
    expected = total * EVENTS_PER_REQUEST
    require_equal("events stored, and distinct ones", pipeline.query(counted), f"{expected}\t{expected}\n")
    samples = map(sender.sample, range(warm_up, total))
    waits = [watcher.seen[sample] - sender.answered[sample] for sample in samples]
    note = (
        f"{measured * EVENTS_PER_REQUEST / seconds:,.0f} events/s in requests of {EVENTS_PER_REQUEST}, {len(waits):,} "
        f"samples from the collector's answer to a query seeing the row (asked every {_ASK_S * 1000:.0f} ms); "
        f"p50 {quantile(waits, 0.5):.2f} s, largest {max(waits):.2f} s; cores busy: {busy}"
    )
    return Line("end_to_end_p95_s", quantile(waits, 0.95), "s", note=note)


def _meters(bench: Workbench, pipeline: Pipeline) -> dict[str, Meter]:
    """One for each process that takes part; `bench` sends, and asks for rows."""
    pids = {server.name: server.pid for server in (*pipeline.services, bench.clickhouse, bench.kafka)}
    return {name: Meter(pid) for name, pid in (pids | {"bench": os.getpid()}).items() if pid is not None}


def _asker(pipeline: Pipeline, run: str) -> Callable[[float], list[str]]:
    """Which samples of the last seconds can be queried; over one connection, read by primary key."""
    connection = http.client.HTTPConnection(HOST, pipeline.settings.clickhouse_http_port, timeout=30)
    path = f"/?database={pipeline.settings.clickhouse_database}&max_threads=1"

    def ask(seconds: float) -> list[str]:
        query = (
            f"SELECT client_message_id FROM events WHERE tenant_id = '{pipeline.tenant_id}' AND "
            f"timestamp >= now64(3) - toIntervalMillisecond({seconds * 1000:.0f}) AND "
            f"startsWith(client_message_id, '{run}-') AND endsWith(client_message_id, '-0')"
        )
        connection.request("POST", path, query)
        answer = connection.getresponse()
        text = answer.read().decode()
        require_equal("answer to a query", answer.status, 200)
        return text.split()

    return ask
