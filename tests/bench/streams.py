"""The lines about the streams worker: alone, against copying the same records, against stock Faust."""

import json
import subprocess
import sys
from collections.abc import Iterator

from docker.local import PROJECT_ROOT
from tests.bench.lines import Line, require_equal
from tests.bench.loads import Load
from tests.bench.machine import Cost, on_cores
from tests.bench.stock import StockFaust
from tests.bench.verify import verify_streams
from tests.bench.workbench import Workbench
from tests.bench.worker import Measured, Worker

NAMES = ("streams_events_per_s", "streams_cpu_us_per_event", "streams_vs_copy", "streams_vs_stock_faust")


def lines(bench: Workbench, wanted: frozenset[str]) -> Iterator[Line]:
    """The wanted ones among `NAMES`; the worker is measured for each of them."""
    warm_up, load = bench.load
    worker = Worker(bench, "streams")
    bench.place(bench.cores.others)
    with bench.stage(f"one worker, {len(warm_up):,} + {len(load):,} events"):
        worker.start()
        try:
            worker.warm_up(warm_up.records)
            measured = worker.measure(load)
        finally:
            worker.stop()
    with bench.stage("read the outputs back"):
        verify_streams(worker.broker, worker.settings, warm_up + load)
    cost = measured.cost
    note = _note(measured, load)
    yield Line("streams_events_per_s", cost.per_s, "events/s", note=note)
    yield Line("streams_cpu_us_per_event", cost.cpu_us, "µs", note="user and system time of the worker; " + note)
    if "streams_vs_copy" in wanted:
        yield _vs_copy(cost, _copy(bench, worker))
    if "streams_vs_stock_faust" in wanted:
        yield _vs_stock(bench, cost)


def _note(measured: Measured, load: Load) -> str:
    size = sum(len(record["value"]) for record in load.records) / len(load)
    repeats = len(load) - len(load.event_ids)
    return (
        f"one worker on one core, {len(load):,} records of {size:.0f} bytes, {repeats:,} of them "
        f"repeats, to outputs and changelog durable; {measured.sessions / len(load):.2f} session rows and "
        f"{measured.states / len(load):.2f} changelog records an event"
    )


def _copy(bench: Workbench, worker: Worker) -> Cost:
    settings, broker = worker.settings, worker.broker
    source, target = settings.topic("raw_events"), settings.topic("copied_events")
    broker.create(target, settings.partitions)
    order = {
        "bootstrap": settings.kafka_bootstrap,
        "source": source,
        "target": target,
        "starts": worker.offsets,
        "ends": broker.ends(source),
    }
    command = [*on_cores(bench.cores.own), sys.executable, "-m", "tests.bench.copy_topic", json.dumps(order)]
    with bench.stage("consume and produce the same records"):
        done = subprocess.run(command, cwd=PROJECT_ROOT, check=True, capture_output=True, text=True, timeout=120)
    result = json.loads(done.stdout)
    require_equal("records copied", broker.count(target), result["records"])
    require_equal("records copied", result["records"], sum(broker.ends(source).values()) - sum(worker.offsets.values()))
    return Cost(result["records"], result["wall_s"], result["cpu_s"])


def _vs_copy(cost: Cost, copy: Cost) -> Line:
    note = (
        "CPU an event; ratio: the worker's by that of librdkafka consuming and producing the same records "
        f"({copy.per_s:,.0f} events/s), less is better"
    )
    return Line("streams_vs_copy", cost.cpu_us, "µs", copy.cpu_us, cost.cpu_us / copy.cpu_us, note)


def _vs_stock(bench: Workbench, cost: Cost) -> Line:
    warm_up, load = bench.load[0].head(bench.sizes.stock_warm_up), bench.load[1].head(bench.sizes.stock_events)
    with bench.stage(f"stock Faust, {len(warm_up):,} + {len(load):,} events"), StockFaust(bench) as stock:
        its = stock.measure(warm_up, load)
        rows = stock.sessions() / (len(warm_up) + len(load))
    note = (
        f"CPU an event; ratio: stock Faust's by the worker's, more is better; by events/s {cost.per_s / its.per_s:.1f} "
        f"(stock {its.per_s:,.0f}); {len(load):,} events of the same traffic, {rows:.2f} session rows an event"
    )
    return Line("streams_vs_stock_faust", cost.cpu_us, "µs", its.cpu_us, its.cpu_us / cost.cpu_us, note)
