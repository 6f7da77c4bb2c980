"""The lines about one visitor who sends more than all others: what his events cost, and what remembering him writes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, linear_regression
from typing import Final

from tests.bench.lines import Line
from tests.bench.loads import Load, make_load
from tests.bench.rounds import Arm, Reading, Readings, in_turn, make_line
from tests.bench.sizes import Sizes
from tests.bench.verify import verify_streams
from tests.bench.workbench import Workbench
from tests.bench.worker import Worker

_SHARED: Final = ("hot_key_cpu_us_per_event", "hot_key_changelog_bytes_per_event")
_ALONE: Final = "hot_key_growth_cpu_us_per_event"
NAMES: Final = (*_SHARED, _ALONE)
_HOT_SHARE: Final = 0.5
_FAR: Final = 10_000_000  # events of one visitor that the growth is drawn on to


@dataclass(frozen=True, slots=True)
class Written:
    """Changelog records of some events: their bytes (keys and values, before compression), how many, the largest."""

    size: int
    records: int
    largest: int


def written(records: Sequence[tuple[bytes, bytes]], key: bytes = b"") -> Written:
    """Of records (key, value) whose key has `key` in it: a state's key is more than its visitor's."""
    sizes = [len(name) + len(value) for name, value in records if key in name]
    return Written(sum(sizes), len(sizes), max(sizes, default=0))


def drawn_on(seen: Sequence[float], costs: Sequence[float], to: float) -> float:
    """What the straight line through the costs, each at so many events seen, says of `to` events; not less than their
    mean: what falls, by chance or as caches fill, does not go on falling.
    """
    slope, start = linear_regression(seen, costs)
    return max(fmean(costs), start + slope * to)


class Sharing:
    """Two arms, the same but for whose the events are: everybody's in turn, or half of them one visitor's."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    @cached_property
    def even(self) -> tuple[Load, Load, Load]:
        """A warm-up, a backlog, and events at a steady rate."""
        return self._loads(0.0)

    @cached_property
    def hot(self) -> tuple[Load, Load, Load]:
        """The same, half of each one visitor's."""
        return self._loads(_HOT_SHARE)

    def arms(self) -> dict[str, Arm]:
        """Even traffic first."""
        return {
            "even": lambda number: self._measure(f"even{number}", self.even),
            "hot": lambda number: self._measure(f"hot{number}", self.hot),
        }

    def _loads(self, hot_share: float) -> tuple[Load, Load, Load]:
        bench, sizes = self._bench, self._bench.sizes
        traffic = bench.traffic(sizes.visitors, seed=3, hot_share=hot_share)
        counts = (sizes.warm_up, sizes.hot_events, round(sizes.paced_s * sizes.steady_events_per_s))
        with bench.stage(f"make {sum(counts):,} events, {hot_share:.0%} of them one visitor's"):
            warm_up, backlog, paced = (make_load(traffic.records(count)) for count in counts)
        return warm_up, backlog, paced

    def _measure(self, name: str, loads: tuple[Load, Load, Load]) -> Reading:
        bench, (warm_up, backlog, paced) = self._bench, loads
        worker = Worker(bench, name)
        with bench.stage(f"one worker, {name}, {len(backlog):,} events at once, {len(paced):,} at a steady rate"):
            worker.start()
            try:
                worker.warm_up(warm_up.records)
                start = worker.changelog_ends()
                at_once = worker.measure(backlog)
                at_once_written, start = worker.changelog_since(start), worker.changelog_ends()
                steady = worker.measure_paced(paced, bench.sizes.steady_events_per_s)
                steady_written = worker.changelog_since(start)
            finally:
                worker.stop()
        with bench.stage("read the outputs back"):
            verify_streams(worker.broker, worker.settings, warm_up + backlog + paced)
        figures = (
            at_once.figures
            | {"paced_cpu_us": steady.cost.cpu_us}
            | self._changelog("at_once", backlog, at_once_written)
            | self._changelog("paced", paced, steady_written)
        )
        return Reading(figures, max(at_once.cost.others_cpu, steady.cost.others_cpu))

    def _changelog(self, when: str, load: Load, records: Sequence[tuple[bytes, bytes]]) -> dict[str, float]:
        """Bytes an event of all visitors, and of the one: there are always a few of his."""
        key = self._bench.traffic(1).hot_key
        every, his = written(records), written(records, key)
        his_events = sum(record["key"] == key for record in load.records)
        return {
            f"{when}_bytes": every.size / len(load),
            f"{when}_his_bytes": his.size / max(1, his_events),
            f"{when}_his_records": his.records,
            f"{when}_largest": every.largest,
        }


class Alone:
    """One visitor who sends everything, slice after slice."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    def measure(self, _number: int) -> Reading:
        """The cost of each slice; the first is a warm-up."""
        bench, sizes = self._bench, self._bench.sizes
        worker, known, costs, others = Worker(bench, "alone"), Load([], [], []), list[float](), 0.0
        traffic = bench.traffic(1, seed=4, ago_s=3_600 + sizes.hot_slice * sizes.hot_slices / 1000)
        worker.start()
        try:
            for number in range(sizes.hot_slices):
                with bench.stage(f"one visitor, events from {number * sizes.hot_slice:,}"):
                    load = make_load(traffic.records(sizes.hot_slice))
                    measured = worker.measure(load)
                    known += load.without_records()
                costs.append(measured.cost.cpu_us)
                others = max(others, measured.cost.others_cpu)
        finally:
            worker.stop()
        with bench.stage("read the outputs back"):
            verify_streams(worker.broker, worker.settings, known)
        return Reading(growth(costs, sizes.hot_slice), others)


def growth(costs: Sequence[float], slice_events: int) -> dict[str, float]:
    """Figures of the slices, the first left out: each, the first and the last of them, and what comes at `_FAR`."""
    seen = [(number + 0.5) * slice_events for number in range(1, len(costs))]
    each = {f"slice {number}": cost for number, cost in enumerate(costs[1:], 2)}
    return each | {"first": costs[1], "last": costs[-1], "far": drawn_on(seen, costs[1:], _FAR)}


def lines(bench: Workbench, wanted: frozenset[str]) -> Iterator[Line]:
    """The wanted ones among `NAMES`, and those that cost nothing more."""
    _ = bench.kafka  # started before servers get their cores
    bench.place(bench.cores.others)
    if wanted & {*_SHARED}:
        yield from summarise(in_turn(Sharing(bench).arms(), bench.sizes.rounds, bench.others_before), bench.sizes)
    if _ALONE in wanted:
        found = in_turn({"alone": Alone(bench).measure}, 1, bench.others_before)["alone"]
        yield _growth(found, bench.sizes.hot_slices * bench.sizes.hot_slice, bench.sizes.hot_slice)


def summarise(found: Mapping[str, Readings], sizes: Sizes) -> Iterator[Line]:
    """The lines about half of the events being one visitor's."""
    even, hot = found["even"], found["hot"]
    note = (
        f"half of {sizes.hot_events:,} events one visitor's, in one partition; CPU an event; ratio: by that of as many "
        f"events of {sizes.visitors:,} visitors in turn, less is better; at {sizes.steady_events_per_s:,} events/s "
        f"{hot.median('paced_cpu_us'):.0f} instead of {even.median('paced_cpu_us'):.0f} µs"
    )
    yield make_line(_SHARED[0], "µs", hot, "cpu_us", against=(even, "cpu_us"), note=note)
    note = (
        f"keys and states of the one visitor by his events, before compression, at {sizes.steady_events_per_s:,} "
        f"events/s, of which half are his: {hot.median('paced_his_records'):.0f} records in {sizes.paced_s:.0f} s, the "
        f"largest {hot.median('paced_largest') / 1000:.0f} kB; ratio: by the bytes an event of even traffic; in a "
        f"backlog, with larger epochs, {hot.median('at_once_his_bytes'):.0f} against "
        f"{even.median('at_once_bytes'):.0f} bytes"
    )
    yield make_line(_SHARED[1], "bytes", hot, "paced_his_bytes", against=(even, "paced_bytes"), note=note)


def _growth(found: Readings, events: int, slice_events: int) -> Line:
    slices = [figure for figure in found.rounds[0].figures if figure.startswith("slice ")]
    each = ", ".join(f"{found.median(figure):.1f}" for figure in slices)
    note = (
        f"{events:,} events of one visitor really run, {slice_events:,} at a time; CPU an event of the last slice; "
        f"ratio: by that of the second, less is better (all after the first: {each}); the straight line through them "
        f"drawn on to {_FAR:,} events, or their mean if it falls: {found.median('far'):.1f} µs, which nobody measured"
    )
    return make_line(_ALONE, "µs", found, "last", against=(found, "first"), note=note)
