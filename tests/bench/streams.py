"""The lines about the streams worker: alone, against copying the same records, against stock Faust."""

import json
import subprocess
import sys
from collections.abc import Iterator

from docker.local import PROJECT_ROOT
from tests.bench import versus_stock
from tests.bench.lines import Line, require_equal
from tests.bench.loads import Load
from tests.bench.machine import Others, on_cores
from tests.bench.rounds import Arm, Reading, Readings, in_turn, make_line
from tests.bench.verify import verify_streams
from tests.bench.workbench import Workbench
from tests.bench.worker import Worker

_ALONE = ("streams_events_per_s", "streams_cpu_us_per_event")
NAMES = (*_ALONE, "streams_vs_copy", *versus_stock.NAMES)


class Backlog:
    """Two arms: the worker on a long backlog, and librdkafka copying the same records of the same round."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._workers: dict[int, Worker] = {}

    def worker(self, number: int) -> Reading:
        """One round of the worker, on topics of its own."""
        bench = self._bench
        warm_up, load = bench.load
        worker = self._workers[number] = Worker(bench, f"streams{number}")
        with bench.stage(f"one worker, {len(warm_up):,} + {len(load):,} events at once"):
            worker.start()
            try:
                worker.warm_up(warm_up.records)
                measured = worker.measure(load)
            finally:
                worker.stop()
        with bench.stage("read the outputs back"):
            verify_streams(worker.broker, worker.settings, warm_up + load)
        return Reading(measured.figures, measured.cost.others_cpu)

    def copy(self, number: int) -> Reading:
        """One round of copying, after the worker's."""
        worker = self._workers[number]
        settings, broker = worker.settings, worker.broker
        source, target = settings.topic("raw_events"), settings.topic("copied_events")
        broker.create(target, settings.partitions)
        starts, ends = worker.offsets, broker.ends(source)
        order = {"bootstrap": settings.kafka_bootstrap, "source": source, "target": target}
        argument = json.dumps(order | {"starts": starts, "ends": ends})
        command = [*on_cores(self._bench.cores.own), sys.executable, "-m", "tests.bench.copy_topic", argument]
        others = Others()
        with self._bench.stage("consume and produce the same records"):
            done = subprocess.run(command, cwd=PROJECT_ROOT, check=True, capture_output=True, text=True, timeout=120)
        others_cpu = others.share()
        result = json.loads(done.stdout)
        require_equal("records copied", broker.count(target), result["records"])
        require_equal("records copied", result["records"], sum(ends.values()) - sum(starts.values()))
        return Reading(
            {
                "cpu_us": result["cpu_s"] / result["records"] * 1e6,
                "per_s": result["records"] / result["wall_s"],
            },
            others_cpu,
        )


def lines(bench: Workbench, wanted: frozenset[str]) -> Iterator[Line]:
    """The wanted ones among `NAMES`, and those that cost nothing more."""
    _ = bench.kafka  # started before servers get their cores
    bench.place(bench.cores.others)
    found = in_turn(_arms(bench, wanted), bench.sizes.rounds, bench.others_before)
    if (worker := found.get("worker")) is not None:
        note = _note(worker, bench.load[1])
        yield make_line("streams_events_per_s", "events/s", worker, "per_s", note=note)
        note = "user and system time of the worker; " + note
        yield make_line("streams_cpu_us_per_event", "µs", worker, "cpu_us", note=note)
        if (copy := found.get("copy")) is not None:
            yield _vs_copy(worker, copy)
    if "shared_worker" in found:
        yield from versus_stock.summarise(found, len(bench.shared.backlog), bench.sizes.steady_events_per_s)


def _arms(bench: Workbench, wanted: frozenset[str]) -> dict[str, Arm]:
    backlog, pair = Backlog(bench), versus_stock.Pair(bench)
    arms: dict[str, Arm] = {}
    if wanted & {*_ALONE, "streams_vs_copy"}:
        arms["worker"] = backlog.worker
    if "streams_vs_copy" in wanted:
        arms["copy"] = backlog.copy
    if wanted & {*versus_stock.NAMES}:
        arms |= pair.arms(with_stock=bool(wanted & {*versus_stock.WITH_STOCK}))
    return arms


def _note(worker: Readings, load: Load) -> str:
    size = sum(len(record["value"]) for record in load.records) / len(load)
    repeats = len(load) - len(load.event_ids)
    return (
        f"a backlog, one worker on one core, {len(load):,} records of {size:.0f} bytes, {repeats:,} of them "
        f"repeats, to outputs and changelog durable; {worker.median('session_rows'):.2f} session rows and "
        f"{worker.median('states'):.2f} changelog records an event"
    )


def _vs_copy(worker: Readings, copy: Readings) -> Line:
    note = (
        "CPU an event; ratio: the worker's by that of librdkafka consuming and producing the same records "
        f"({copy.median('per_s'):,.0f} events/s), less is better"
    )
    return make_line("streams_vs_copy", "µs", worker, "cpu_us", against=(copy, "cpu_us"), note=note)
