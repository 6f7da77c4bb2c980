"""The whole pipeline at a rate: one process of each kind, default settings, and when each sampled row was seen."""

import http.client
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import linear_regression
from typing import Final

from docker.local.process import HOST
from docker.local.services import Pipeline
from tests.bench.broker import wait_until
from tests.bench.lines import quantile, require_equal
from tests.bench.machine import Meter, Others
from tests.bench.rounds import Reading, Readings
from tests.bench.steady import EVENTS_PER_REQUEST, Sender, Watcher
from tests.bench.workbench import WRITE_KEY, Workbench

ASK_S: Final = 0.05
_LANDED_TIMEOUT_S: Final = 120.0
_SETTLING: Final = 0.2  # of a measured time, until the parts of the pipeline have the rate


@contextmanager
def started(bench: Workbench, name: str) -> Iterator[Pipeline]:
    """A pipeline with topics, a database and processes of its own, no process bound to a core."""
    kafka, clickhouse = bench.kafka, bench.clickhouse
    bench.place(bench.cores.every)
    settings = bench.settings(name)
    same = ("partitions", "streams_geo_country_path", "streams_geo_city_path")
    own = {name: getattr(settings, name) for name in same}
    with bench.stage("make topics and tables"):
        pipeline = Pipeline(bench.home / name, kafka, clickhouse, database=name, topic_prefix=f"{name}_", **own)
        pipeline.run("schemas", "apply")
        pipeline.add_project("bench", write_key=WRITE_KEY)
    try:
        with bench.stage("start the pipeline"):
            pipeline.start_services()
        yield pipeline
    finally:
        pipeline.stop()


class Run:
    """One pipeline, and a sender that goes on through all measurements; rows are watched for inside its `with`."""

    def __init__(
        self, bench: Workbench, pipeline: Pipeline, events: int = EVENTS_PER_REQUEST, ask_s: float = ASK_S
    ) -> None:
        self._bench = bench
        self._pipeline = pipeline
        self._events = events
        self._sent = 0
        traffic = bench.traffic(bench.sizes.visitors)
        self._sender = Sender(pipeline.settings.collector_port, pipeline.write_key, traffic, events)
        self._watcher = Watcher(_asker(pipeline, self._sender.run), self._sender.due, ask_s)

    def warm_up(self, events_per_s: int, seconds: float) -> None:
        """Send at a rate, and measure nothing."""
        with self._bench.stage(f"warm up, {seconds:.0f} s"):
            self._send(events_per_s, seconds)

    def measure(self, events_per_s: int, seconds: float) -> Reading:
        """Send at a rate for so long; it ends when the last of its rows is seen.

        growth: seconds that rows come later for each second of sending; late_s: by how much sending took longer.
        """
        sender = self._sender
        with self._bench.stage(f"{events_per_s:,} events/s for {seconds:.0f} s"):
            others, meters = Others(), _meters(self._bench, self._pipeline)
            samples, passed_s = self._send(events_per_s, seconds)
            figures = {f"cores {name}": meter.cpu_s() / passed_s for name, meter in meters.items()}
            others_cpu = others.share()
            wait_until(lambda: len(self._watcher.seen) >= self._sent, "the last samples", _LANDED_TIMEOUT_S)
        seen, due = self._watcher.seen, sender.due
        for name, starts in (("sending", due), ("answer", sender.answered)):
            waits = [seen[sample] - starts[sample] for sample in samples]
            figures |= {f"{name} p50": quantile(waits, 0.5), f"{name} p95": quantile(waits, 0.95)}
            figures |= {f"{name} largest": max(waits)}
        figures["growth"] = growth([(due[sample], seen[sample] - due[sample]) for sample in samples])
        figures["late_s"] = max(0.0, passed_s - seconds)
        per_s = len(samples) * self._events / passed_s
        return Reading(figures | {"per_s": per_s, "samples": len(samples)}, others_cpu)

    def verify(self) -> None:
        """Every event that was sent is stored, once. Raises WrongOutputError."""
        counted = (
            "SELECT count(), uniqExact(message_id) FROM events "
            f"WHERE startsWith(client_message_id, '{self._sender.run}-')"
        )
        expected = self._sent * self._events
        # A sample is the first event of its request; the others may be in batches still to be flushed.
        wait_until(lambda: int(self._pipeline.query(counted).split()[0]) >= expected, "all events", _LANDED_TIMEOUT_S)
        require_equal("events stored, and distinct ones", self._pipeline.query(counted), f"{expected}\t{expected}\n")

    def __enter__(self) -> "Run":
        self._watcher.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._watcher.stop()

    def _send(self, events_per_s: int, seconds: float) -> tuple[list[str], float]:
        """Requests at the rate for so long: their samples, and the seconds it took."""
        per_s = events_per_s / self._events
        requests = range(self._sent, self._sent + round(seconds * per_s))
        self._sent = requests.stop
        return [self._sender.sample(request) for request in requests], self._sender.send(requests, per_s)


def growth(waits: list[tuple[float, float]]) -> float:
    """By how much a wait grows in a second, of pairs (when it began, how long it was), the first of them left out.

    0 where the pipeline keeps up, 1 where it does half of what is sent.
    """
    settled = waits[int(len(waits) * _SETTLING) :]
    return linear_regression([at for at, _ in settled], [wait for _, wait in settled]).slope


def cores_busy(found: Readings) -> str:
    """Each process and the cores it used, as notes give it."""
    cores = [figure for figure in found.rounds[0].figures if figure.startswith("cores ")]
    return ", ".join(f"{figure.removeprefix('cores ')} {found.median(figure):.2f}" for figure in cores)


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
