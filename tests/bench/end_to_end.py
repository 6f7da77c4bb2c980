"""The lines about the whole pipeline: from sending, and from the answer, to the row being there for a query."""

import http.client
import os
from collections.abc import Callable, Iterator
from typing import Final

from docker.local.process import HOST
from docker.local.services import Pipeline
from tests.bench.broker import wait_until
from tests.bench.lines import Line, quantile, require_equal
from tests.bench.machine import Meter, Others
from tests.bench.rounds import Reading, Readings, in_turn, make_line
from tests.bench.steady import EVENTS_PER_REQUEST, Sender, Watcher
from tests.bench.workbench import WRITE_KEY, Workbench

NAMES = ("end_to_end_p50_s", "end_to_end_p95_s", "end_to_end_from_sending_p50_s", "end_to_end_from_sending_p95_s")
_DATABASE: Final = "end_to_end"
_ASK_S: Final = 0.05
_LANDED_TIMEOUT_S: Final = 60.0


def lines(bench: Workbench, _wanted: frozenset[str]) -> Iterator[Line]:
    """All of `NAMES`; one process of each kind, default settings, no process bound to a core."""
    kafka, clickhouse = bench.kafka, bench.clickhouse
    bench.place(bench.cores.every)
    settings = bench.settings("whole", partitions=12)
    geo = {name: getattr(settings, name) for name in ("streams_geo_country_path", "streams_geo_city_path")}
    with bench.stage("make topics and tables"):
        pipeline = Pipeline(
            bench.home / "whole", kafka, clickhouse, database=_DATABASE, topic_prefix="whole_", partitions=12, **geo
        )
        pipeline.run("schemas", "apply")
        pipeline.add_project("bench", write_key=WRITE_KEY)
    try:
        with bench.stage("start the pipeline"):
            pipeline.start_services()
        yield from Run(bench, pipeline).lines()
    finally:
        pipeline.stop()


class Run:
    """One pipeline, and a sender that goes on through all rounds."""

    def __init__(self, bench: Workbench, pipeline: Pipeline) -> None:
        self._bench = bench
        self._pipeline = pipeline
        self._per_s = bench.sizes.steady_events_per_s / EVENTS_PER_REQUEST
        self._sent = 0
        self._sender = Sender(pipeline.settings.collector_port, pipeline.write_key, bench.traffic(bench.sizes.visitors))
        self._watcher = Watcher(_asker(pipeline, self._sender.run), self._sender.due, _ASK_S)

    def lines(self) -> Iterator[Line]:
        """Warm up, measure, check that all is stored."""
        sizes = self._bench.sizes
        self._watcher.start()
        try:
            with self._bench.stage(f"warm up, {sizes.steady_warm_up_s:.0f} s"):
                self._send(sizes.steady_warm_up_s)
            found = in_turn({"pipeline": self.measure}, sizes.rounds, self._bench.others_before)["pipeline"]
        finally:
            self._watcher.stop()
        counted = (
            "SELECT count(), uniqExact(message_id) FROM events "
            f"WHERE startsWith(client_message_id, '{self._sender.run}-')"
        )
        expected = self._sent * EVENTS_PER_REQUEST
        # A sample is the first event of its request; the others may be in batches still to be flushed.
        wait_until(lambda: int(self._pipeline.query(counted).split()[0]) >= expected, "all events", _LANDED_TIMEOUT_S)
        require_equal("events stored, and distinct ones", self._pipeline.query(counted), f"{expected}\t{expected}\n")
        yield from _lines(found, sizes.steady_events_per_s)

    def measure(self, _number: int) -> Reading:
        """One round; it ends when the last of its rows is seen."""
        sizes, sender = self._bench.sizes, self._sender
        with self._bench.stage(f"{sizes.steady_events_per_s:,} events/s for {sizes.steady_s:.0f} s"):
            others, meters = Others(), _meters(self._bench, self._pipeline)
            samples, seconds = self._send(sizes.steady_s)
            figures = {f"cores {name}": meter.cpu_s() / seconds for name, meter in meters.items()}
            others_cpu = others.share()
            wait_until(lambda: len(self._watcher.seen) >= self._sent, "the last samples", _LANDED_TIMEOUT_S)
        for name, starts in (("sending", sender.due), ("answer", sender.answered)):
            waits = [self._watcher.seen[sample] - starts[sample] for sample in samples]
            figures |= {f"{name} p50": quantile(waits, 0.5), f"{name} p95": quantile(waits, 0.95)}
            figures |= {f"{name} largest": max(waits)}
        per_s = len(samples) * EVENTS_PER_REQUEST / seconds
        return Reading(figures | {"per_s": per_s, "samples": len(samples)}, others_cpu)

    def _send(self, seconds: float) -> tuple[list[str], float]:
        """Requests at the rate for so long: their samples, and the seconds it took."""
        requests = range(self._sent, self._sent + round(seconds * self._per_s))
        self._sent = requests.stop
        return [self._sender.sample(request) for request in requests], self._sender.send(requests, self._per_s)


def _lines(found: Readings, events_per_s: int) -> Iterator[Line]:
    cores = [figure for figure in found.rounds[0].figures if figure.startswith("cores ")]
    busy = ", ".join(f"{figure.removeprefix('cores ')} {found.median(figure):.2f}" for figure in cores)
    for name, start in (("", "answer"), ("_from_sending", "sending")):
        since = "the collector's answer" if start == "answer" else "the moment its request was due to be sent"
        note = (
            f"{events_per_s:,} events/s ({found.median('per_s'):,.0f} were sent) in requests of {EVENTS_PER_REQUEST}, "
            f"{found.median('samples'):,.0f} samples a round, from {since} to a query seeing the row (asked every "
            f"{_ASK_S * 1000:.0f} ms); largest {found.median(f'{start} largest'):.2f} s; cores busy: {busy}"
        )
        for quantile_name in ("p50", "p95"):
            yield make_line(f"end_to_end{name}_{quantile_name}_s", "s", found, f"{start} {quantile_name}", note=note)


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
