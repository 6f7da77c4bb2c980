"""The worker and a stock Faust agent on the same records: a backlog, and a steady rate."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from tests.bench.lines import Line, require, require_equal
from tests.bench.loads import Load
from tests.bench.rounds import Arm, Reading, Readings, make_line
from tests.bench.stock import StockFaust
from tests.bench.verify import verify_streams
from tests.bench.workbench import Shared, Workbench
from tests.bench.worker import Measured, Worker

_STEADY: Final = "streams_steady_cpu_us_per_event"
WITH_STOCK: Final = ("streams_vs_stock_faust", "streams_steady_vs_stock_faust")
NAMES: Final = (WITH_STOCK[0], _STEADY, WITH_STOCK[1])
_TUNED: Final = "stock Faust: one event at a time, tuned (uvloop, Cython, orjson, linger, buffers)"
Backlog = Callable[[Load], Measured]
Paced = Callable[[Load, float], Measured]


class Pair:
    """Two arms. Each round has topics and processes of its own, and both get the same bytes in the same partitions."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._fed: dict[int, dict[int, str]] = {}  # round → digests of the worker's raw events

    def arms(self, with_stock: bool) -> dict[str, Arm]:
        """The worker first; stock Faust on demand."""
        arms: dict[str, Arm] = {"shared_worker": self.worker}
        return arms | ({"stock": self.stock} if with_stock else {})

    def worker(self, number: int) -> Reading:
        """One round of the worker."""
        bench, shared = self._bench, self._bench.shared
        worker = Worker(bench, f"shared{number}")
        with bench.stage(f"one worker, {_text(bench)}"):
            worker.start()
            try:
                worker.warm_up(shared.warm_up.records)
                reading = _measure(bench, worker.measure, worker.measure_paced, shared)
            finally:
                worker.stop()
            verify_streams(worker.broker, worker.settings, shared.every)
            self._fed[number] = worker.broker.digest(worker.settings.topic("raw_events"))
        return reading

    def stock(self, number: int) -> Reading:
        """One round of stock Faust."""
        bench, shared = self._bench, self._bench.shared
        with (
            bench.stage(f"stock Faust, {_text(bench)}"),
            StockFaust(bench, f"stock{number}", len(shared.backlog)) as stock,
        ):
            stock.measure_backlog(shared.warm_up)
            reading = _measure(bench, stock.measure_backlog, stock.measure_paced, shared)
            stock.verify()
            fed = stock.broker.digest(stock.settings.topic("raw_events"))
            require_same(self._fed[number], fed)
        return reading


def require_same(fed: Mapping[int, str], its: Mapping[int, str]) -> None:
    """Raises WrongOutputError unless the digests of two topics are the same."""
    require(fed == its, "the worker and stock Faust did not get the same records")


def summarise(found: Mapping[str, Readings], backlog: int, events_per_s: int) -> Iterator[Line]:
    """Those of `NAMES` that the readings allow. backlog: events in it; events_per_s: the steady rate."""
    worker, stock = found["shared_worker"], found.get("stock")
    rate = f"{events_per_s:,} events/s"
    note = (
        f"CPU an event at {rate} on one core; ratio: by that of a backlog of {backlog:,} events, where larger chunks "
        f"are cheaper; {worker.median('paced_session_rows'):.2f} session rows an event"
    )
    if stock is not None:
        yield _at_once(worker, stock, backlog)
    yield make_line(_STEADY, "µs", worker, "paced_cpu_us", against=(worker, "cpu_us"), note=note)
    if stock is not None:
        yield _steady(worker, stock, rate)


def _at_once(worker: Readings, stock: Readings, backlog: int) -> Line:
    note = (
        f"CPU an event of a backlog; ratio: stock Faust's by the worker's, more is better; {backlog:,} events, the "
        f"same bytes and as many before as a warm-up; {_rows(worker, stock, 'session_rows')}; "
        f"stock {stock.median('per_s'):,.0f} events/s; {_TUNED}"
    )
    return make_line(WITH_STOCK[0], "µs", worker, "cpu_us", against=(stock, "cpu_us"), turned=True, note=note)


def _steady(worker: Readings, stock: Readings, rate: str) -> Line:
    note = (
        f"CPU an event at {rate}, the same bytes at the same pace; ratio: stock Faust's by the worker's, more is "
        f"better; {_rows(worker, stock, 'paced_session_rows')}; stock used {stock.median('paced_cores'):.2f} of its "
        f"core and was {stock.median('paced_late_s'):.1f} s late at the end; {_TUNED}"
    )
    against = stock, "paced_cpu_us"
    return make_line(WITH_STOCK[1], "µs", worker, "paced_cpu_us", against=against, turned=True, note=note)


def _rows(worker: Readings, stock: Readings, figure: str) -> str:
    return f"session rows an event: worker {worker.median(figure):.2f}, stock {stock.median(figure):.2f}"


def _measure(bench: Workbench, backlog: Backlog, paced: Paced, shared: Shared) -> Reading:
    rate = bench.sizes.steady_events_per_s
    at_once = backlog(shared.backlog)
    paced(shared.paced_warm_up, rate)
    steady = paced(shared.paced, rate)
    require_equal("events paced", steady.cost.events, len(shared.paced))
    figures = at_once.figures | {
        "paced_cpu_us": steady.cost.cpu_us,
        "paced_session_rows": steady.figures["session_rows"],
        "paced_cores": steady.cost.cpu_s / steady.cost.wall_s,
        "paced_late_s": max(0.0, steady.cost.wall_s - len(shared.paced) / rate),
    }
    return Reading(figures, max(at_once.cost.others_cpu, steady.cost.others_cpu))


def _text(bench: Workbench) -> str:
    shared = bench.shared
    return f"{len(shared.backlog):,} events at once, {len(shared.paced):,} at {bench.sizes.steady_events_per_s:,}/s"
