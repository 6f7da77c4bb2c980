"""The lines about the collector: requests of one, 20 and 100 events, and against a handler that only reads the body."""

import sys
from collections.abc import Callable, Iterator, Mapping

from docker.local import PROJECT_ROOT
from docker.local.process import ServerProcess, accepts_connections, free_port
from schemas.settings import Settings
from tests.bench.broker import Broker
from tests.bench.lines import Line, require
from tests.bench.load_generator import CONNECTIONS, Target, drive, settle, write_bodies
from tests.bench.machine import Meter, on_cores
from tests.bench.rounds import Arm, Reading, Readings, in_turn, make_line
from tests.bench.workbench import WRITE_KEY, PinnedService, Workbench

_LARGEST = 100
_BATCHES = {20: "collector_events_per_s_20", _LARGEST: "collector_events_per_s"}  # events a request → its line
NAMES = ("collector_requests_per_s", "collector_vs_bare", *_BATCHES.values(), "collector_cpu_us_per_event")


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


class Serving:
    """The arms: the collector at each number of events a request, and the bare handler at one."""

    def __init__(self, bench: Workbench, settings: Settings, service: PinnedService, handler: BareHandler) -> None:
        self._bench = bench
        self._port = settings.collector_port
        self._service = service
        self._handler = handler
        broker, topic = Broker(settings), settings.topic("raw_events")
        self._count = lambda: broker.count(topic)

    def collector(self, events: int) -> Arm:
        """The arm with so many events a request."""
        return lambda _number: _load(self._bench, self._service, _target(self._bench, self._port, events), self._count)

    def bare(self, _number: int) -> Reading:
        """One round of the handler that only reads the body."""
        return _load(self._bench, self._handler, _target(self._bench, self._handler.port, 1), None)


def lines(bench: Workbench, wanted: frozenset[str]) -> Iterator[Line]:
    """The wanted ones among `NAMES`, and those that cost nothing more."""
    settings = bench.settings("collector")
    bench.create_topics(settings)
    bench.place(bench.cores.others)
    with (
        PinnedService(bench, "collector", "collector", settings, settings.collector_admin_port) as service,
        BareHandler(bench) as handler,
    ):
        serving = Serving(bench, settings, service, handler)
        arms: dict[str, Arm] = {}
        if wanted & {"collector_requests_per_s", "collector_vs_bare"}:
            arms["1"] = serving.collector(1)
        if "collector_vs_bare" in wanted:
            arms["bare"] = serving.bare
        for events, name in _BATCHES.items():
            if wanted & {name, *(("collector_cpu_us_per_event",) if events == _LARGEST else ())}:
                arms[str(events)] = serving.collector(events)
        found = in_turn(arms, bench.sizes.rounds, bench.others_before)
    yield from _lines(found)


def _lines(found: Mapping[str, Readings]) -> Iterator[Line]:
    if "1" in found:
        note = _note(found["1"], 1)
        yield make_line("collector_requests_per_s", "requests/s", found["1"], "requests_per_s", note=note)
    if "bare" in found:
        note = (
            "CPU a request of one event; ratio: the collector's by that of an aiohttp handler (uvloop) that only reads "
            f"the body ({found['bare'].median('requests_per_s'):,.0f} requests/s), less is better"
        )
        against = found["bare"], "cpu_us_per_request"
        yield make_line("collector_vs_bare", "µs", found["1"], "cpu_us_per_request", against=against, note=note)
    for events, name in _BATCHES.items():
        if (batch := found.get(str(events))) is not None:
            yield make_line(name, "events/s", batch, "events_per_s", note=_note(batch, events))
    if (batch := found.get(str(_LARGEST))) is not None:
        note = "user and system time of the collector; " + _note(batch, _LARGEST)
        yield make_line("collector_cpu_us_per_event", "µs", batch, "cpu_us_per_event", note=note)


def _note(readings: Readings, events: int) -> str:
    return (
        f"{events} events a request, {CONNECTIONS} connections, one process on one core; "
        f"{readings.median('cpu_us_per_request'):.0f} µs of CPU a request; answers after "
        f"{readings.median('p50_ms'):.0f} ms (p50), {readings.median('p99_ms'):.0f} ms (p99)"
    )


def _target(bench: Workbench, port: int, events: int) -> Target:
    bodies = write_bodies(bench.home, bench.traffic(bench.sizes.visitors), events)
    return Target(port, "/v1/track" if events == 1 else "/v1/batch", bodies, events)


def _load(bench: Workbench, server: ServerProcess, target: Target, count: Callable[[], int] | None) -> Reading:
    """Warm the server up, then measure. `count` tells the events stored: all that were answered must be."""
    assert server.pid is not None
    with bench.stage(f"{server.name}, {target.events} events a request"):
        drive(target, WRITE_KEY, bench.sizes.load_warm_up_s, bench.cores)
        before = settle(count) if count else 0
        meter = Meter(server.pid)
        answered = drive(target, WRITE_KEY, bench.sizes.load_s, bench.cores)
        cpu_s, others_cpu = meter.cpu_s(), meter.others_cpu()
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
    per_s = answered.requests / answered.seconds
    figures = {
        "requests_per_s": per_s,
        "events_per_s": per_s * target.events,
        "cpu_us_per_request": cpu_s / requests * 1e6,
        "cpu_us_per_event": cpu_s / requests / target.events * 1e6,
        "p50_ms": answered.p50_ms,
        "p99_ms": answered.p99_ms,
    }
    return Reading(figures, others_cpu)
