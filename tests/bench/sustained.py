"""The lines about what the whole pipeline holds, and how soon rows are there near that; and ClickHouse's part in it."""

import time
from collections.abc import Iterator, Mapping
from typing import Final

from docker.local.services import Pipeline
from tests.bench.database_meter import DatabaseMeter, wait_merged
from tests.bench.lines import Line, require
from tests.bench.machine import Meter
from tests.bench.pipeline_run import Run, cores_busy, started
from tests.bench.rounds import Arm, Reading, Readings, in_turn, make_line
from tests.bench.search import Found, highest
from tests.bench.sizes import Held, Sizes
from tests.bench.workbench import Workbench

_HELD: Final = "held_events_per_s"
_HIGH: Final = ("end_to_end_20k_p50_s", "end_to_end_20k_p95_s")
_DATABASE: Final = ("clickhouse_steady_cpu_us_per_row", "clickhouse_parts_per_s")
NAMES: Final = (_HELD, *_HIGH, *_DATABASE)
_EVENTS_PER_REQUEST: Final = 100  # fewer requests, so that what sends leaves the cores to the pipeline
_ASK_S: Final = 0.1
_IDLE_S: Final = 2.0


class Rates:
    """One pipeline, measured at one rate after another."""

    def __init__(self, bench: Workbench, pipeline: Pipeline, run: Run) -> None:
        self._bench = bench
        self._pipeline = pipeline
        self._run = run
        self.trials: list[tuple[int, Reading]] = []

    def holds(self, rate: int) -> bool:
        """Whether the pipeline holds it; noted in `trials`. The merges of one trial are not the next one's, and what
        comes of going from nothing to the rate is nobody's.
        """
        wait_merged(self._pipeline.clickhouse.query)
        self._run.warm_up(rate, self._bench.sizes.steady_warm_up_s)
        reading = self._run.measure(rate, self._bench.sizes.search_s)
        self.trials.append((rate, reading))
        self._bench.say(f"  {told(rate, reading, self._bench.sizes.held)}")
        return is_held(reading, self._bench.sizes.held)

    def arm(self, rate: int) -> Arm:
        """Measurements at this rate, with ClickHouse's part."""
        return lambda _number: self._measure(rate)

    def _measure(self, rate: int) -> Reading:
        server, seconds = self._pipeline.clickhouse, self._bench.sizes.steady_s
        assert server.pid is not None
        wait_merged(server.query)
        meter, started_at = DatabaseMeter(server.pid, server.query), time.monotonic()
        reading = self._run.measure(rate, seconds)
        passed_s = time.monotonic() - started_at
        figures = meter.figures(round(rate * seconds))
        figures["parts_per_s"] = figures["parts"] / passed_s
        return Reading({**reading.figures, **figures}, reading.others_cpu)


def is_held(reading: Reading, held: Held) -> bool:
    """Whether requests were sent on time, rows were there soon, and no later at the end than at the beginning."""
    limits = {"growth": held.growth_max, "sending p95": held.wait_s_max, "late_s": held.late_s_max}
    return all(reading.figures[figure] <= limit for figure, limit in limits.items())


def told(rate: int, reading: Reading, held: Held) -> str:
    """One trial in a few words."""
    figures = reading.figures
    late = f", sent {figures['late_s']:.1f} s late" if figures["late_s"] > held.late_s_max else ""
    verdict = "held" if is_held(reading, held) else "not held"
    return f"{rate:,} {verdict} ({figures['growth']:+.2f} s/s, p95 {figures['sending p95']:.1f} s{late})"


def lines(bench: Workbench, wanted: frozenset[str]) -> Iterator[Line]:
    """The wanted ones among `NAMES`; the search is for all of them but ClickHouse's."""
    sizes = bench.sizes
    with started(bench, "sustained") as pipeline:
        assert bench.clickhouse.pid is not None
        with bench.stage("ClickHouse with nothing to do"):
            meter = Meter(bench.clickhouse.pid)
            time.sleep(_IDLE_S)
            idle = meter.cpu_s() / _IDLE_S
        with Run(bench, pipeline, _EVENTS_PER_REQUEST, _ASK_S) as run:
            rates = Rates(bench, pipeline, run)
            run.warm_up(sizes.steady_events_per_s, sizes.steady_warm_up_s)
            arms = {"steady": rates.arm(sizes.steady_events_per_s)}
            high = sizes.high_events_per_s
            if wanted & {_HELD, *_HIGH}:
                found = highest(
                    rates.holds, sizes.search_first_events_per_s, sizes.search_step_events_per_s, sizes.search_trials
                )
                require(found.held > 0, f"not even {found.refused} events/s were held")
                yield held_line(rates.trials, found, sizes)
                high = min(high, found.held)
                arms["high"] = rates.arm(high)
            readings = in_turn(arms, sizes.rounds, bench.others_before)
        run.verify()
    if "high" in readings:
        yield from _high(readings, high, sizes)
    yield from database(readings, high, idle, sizes)


def held_line(trials: list[tuple[int, Reading]], found: Found, sizes: Sizes) -> Line:
    """The line about the highest rate that was held."""
    best = next(reading for rate, reading in trials if rate == found.held)
    readings = Readings((Reading({"rate": found.held, **best.figures}, max(one.others_cpu for _, one in trials)),))
    tried = "; ".join(told(rate, reading, sizes.held) for rate, reading in trials)
    limits = sizes.held
    above = "nothing higher was tried" if found.refused is None else f"{found.refused:,} is the next that was tried"
    note = (
        f"the highest rate held by the whole pipeline, one process of each kind, no process bound to a core, the load "
        f"on the same cores, requests of {_EVENTS_PER_REQUEST} events; in steps of {sizes.search_step_events_per_s:,} "
        f"events/s, {sizes.search_s:.0f} s each: {tried}; {above}. "
        f"Held: requests sent at most {limits.late_s_max} s late, 95 % of rows there within {limits.wait_s_max:.0f} s, "
        f"and later by at most {limits.growth_max} s for each second; "
        f"cores busy: {cores_busy(readings)}"
    )
    return make_line(_HELD, "events/s", readings, "rate", note=note)


def _high(found: Mapping[str, Readings], rate: int, sizes: Sizes) -> Iterator[Line]:
    steady, high = found["steady"], found["high"]
    missed = "" if rate == sizes.high_events_per_s else f"{sizes.high_events_per_s:,} events/s are not held here; "
    note = (
        f"{missed}{rate:,} events/s ({high.median('per_s'):,.0f} were sent) in requests of {_EVENTS_PER_REQUEST}, from "
        f"the collector's answer to a query seeing the row (asked every {_ASK_S * 1000:.0f} ms); ratio: by that at "
        f"{sizes.steady_events_per_s:,} events/s; rows later by {high.median('growth'):+.2f} s a second; largest "
        f"{high.median('answer largest'):.2f} s; cores busy: {cores_busy(high)}"
    )
    for name, figure in zip(_HIGH, ("answer p50", "answer p95"), strict=True):
        yield make_line(name, "s", high, figure, against=(steady, figure), note=note)


def database(found: Mapping[str, Readings], high: int, idle: float, sizes: Sizes) -> Iterator[Line]:
    """The lines about ClickHouse at a steady rate."""
    steady = found["steady"]
    beside = _per_row(found["high"], high) if "high" in found else ""
    note = (
        f"user and system time of the server by the rows of `events`, {_per_row(steady, sizes.steady_events_per_s)}"
        f"{beside and '; '}{beside}; sessions, identities and this run's questions are on the account too, and the "
        f"{idle:.2f} of a core that the server takes with nothing to do"
    )
    yield make_line(_DATABASE[0], "µs", steady, "database_us", note=note)
    note = (
        f"parts made by INSERTs into all tables at {sizes.steady_events_per_s:,} events/s; "
        f"{steady.median('inserts'):.0f} INSERTs and {steady.median('merges'):.0f} merges a round"
        + (f"; {found['high'].median('parts_per_s'):.1f} a second at {high:,} events/s" if "high" in found else "")
    )
    yield make_line(_DATABASE[1], "parts/s", steady, "parts_per_s", note=note)


def _per_row(found: Readings, rate: int) -> str:
    return (
        f"at {rate:,} events/s {found.median('database_us'):.1f} µs, of it merges {found.median('merging_us'):.1f} "
        f"(each row merged {found.median('merged_rows'):.1f} times)"
    )
