"""The lines about the collector: requests of one, 20 and 100 events, and against a handler that only reads the body."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from docker.local import PROJECT_ROOT
from docker.local.process import ServerProcess, accepts_connections, free_port
from tests.bench.broker import Broker
from tests.bench.lines import Line, require
from tests.bench.load_generator import CONNECTIONS, Answered, Target, drive, settle, write_bodies
from tests.bench.machine import Cost, Meter, on_cores
from tests.bench.workbench import WRITE_KEY, PinnedService, Workbench

NAMES = ("collector_requests_per_s", "collector_vs_bare", "collector_events_per_s")
_BATCHES = (20, 100)


class BareHandler(ServerProcess):
    """`python -m tests.bench.bare_handler` on the core of the measured process."""

    def __init__(self, bench: Workbench) -> None:
        super().__init__("bare", bench.home / "bare")
        self.port = free_port()
        self._cores = bench.cores

    def command(self) -> list[str]:
        run = [sys.executable, "-m", "tests.bench.bare_handler", str(self.port)]
        return ["env", f"PYTHONPATH={PROJECT_ROOT}", *on_cores(self._cores.own), *run]

    def is_ready(self) -> bool:
        return accepts_connections(self.port)


@dataclass(frozen=True, slots=True)
class Served:
    """What a server did: cost by request (rate as the load generator saw it), latencies, and its events a second."""

    cost: Cost
    answered: Answered
    events: int

    @property
    def note(self) -> str:
        """In words."""
        return (
            f"{self.cost.cpu_us:.0f} µs of CPU a request, {self.cost.cpu_us / self.events:.1f} an event; "
            f"answers after {self.answered.p50_ms:.1f} ms (p50), {self.answered.p99_ms:.1f} ms (p99)"
        )


def lines(bench: Workbench, wanted: frozenset[str]) -> Iterator[Line]:
    """The wanted ones among `NAMES`."""
    settings = bench.settings("collector")
    bench.create_topics(settings)
    bench.place(bench.cores.others)
    broker, topic = Broker(settings), settings.topic("raw_events")
    service = PinnedService(bench, "collector", "collector", settings, settings.collector_admin_port)

    def count() -> int:
        return broker.count(topic)

    with service:
        if wanted & {"collector_requests_per_s", "collector_vs_bare"}:
            single = _load(bench, service, _target(bench, settings.collector_port, 1), count)
            note = f"one event a request, {CONNECTIONS} connections, one process on one core; {single.note}"
            yield Line(
                "collector_requests_per_s", single.answered.requests / single.answered.seconds, "requests/s", note=note
            )
        if "collector_events_per_s" in wanted:
            for events in _BATCHES:
                batch = _load(bench, service, _target(bench, settings.collector_port, events), count)
                rate = batch.answered.requests * events / batch.answered.seconds
                note = f"{events} events a request, {CONNECTIONS} connections, one process on one core; {batch.note}"
                yield Line("collector_events_per_s", rate, "events/s", note=note)
    if "collector_vs_bare" in wanted:
        with BareHandler(bench) as handler:
            bare = _load(bench, handler, _target(bench, handler.port, 1), None)
        yield _vs_bare(single, bare)


def _target(bench: Workbench, port: int, events: int) -> Target:
    bodies = write_bodies(bench.home, bench.traffic(bench.sizes.visitors), events)
    return Target(port, "/v1/track" if events == 1 else "/v1/batch", bodies, events)


def _load(bench: Workbench, server: ServerProcess, target: Target, count: Callable[[], int] | None) -> Served:
    """Warm the server up, then measure. `count` tells the events stored: all that were answered must be."""
    assert server.pid is not None
    with bench.stage(f"{server.name}, {target.events} events a request"):
        drive(target, WRITE_KEY, bench.sizes.load_warm_up_s, bench.cores)
        before = settle(count) if count else 0
        meter = Meter(server.pid)
        answered = drive(target, WRITE_KEY, bench.sizes.load_s, bench.cores)
        cpu_s = meter.cpu_s()
        requests = answered.requests
        if count:
            stored = settle(count) - before
            # wrk closes its connections with a request under way on each.
            most = (requests + CONNECTIONS) * target.events
            require(
                requests * target.events <= stored <= most,
                f"{requests * target.events:,} events were answered, {stored:,} stored",
            )
            requests = stored // target.events
    return Served(Cost(requests, answered.seconds, cpu_s), answered, target.events)


def _vs_bare(single: Served, bare: Served) -> Line:
    note = (
        "CPU a request of one event; ratio: the collector's by that of an aiohttp handler (uvloop) that only reads the "
        f"body ({bare.answered.requests / bare.answered.seconds:,.0f} requests/s), less is better"
    )
    ratio = single.cost.cpu_us / bare.cost.cpu_us
    return Line("collector_vs_bare", single.cost.cpu_us, "µs", bare.cost.cpu_us, ratio, note)
