"""The lines about many sessions: what an event costs among them, what they weigh, how long they take to come back."""

import time
from collections.abc import Iterator
from itertools import islice
from typing import Final

from tests.bench.broker import wait_until
from tests.bench.lines import Line, require
from tests.bench.loads import Load, make_load
from tests.bench.machine import Cost
from tests.bench.verify import verify_streams
from tests.bench.workbench import Workbench
from tests.bench.worker import Worker

NAMES = ("worker_rss_per_million_sessions_mb", "restore_1m_s", "sessions_cpu_ratio_1m", "sessions_cpu_ratio_1m_spread")
_SLICE: Final = 100_000
_RESTORE_TIMEOUT_S: Final = 300.0
_RESTORED = 'tally_streams_restored{table="sessions"}'
_STATES = 'tally_streams_states{table="sessions"}'


def lines(bench: Workbench, wanted: frozenset[str]) -> Iterator[Line]:
    """All of `NAMES`; the costs are left out unless they are wanted."""
    few, many = bench.sizes.few_sessions, bench.sizes.many_sessions
    measures_cost = bool(wanted & {"sessions_cpu_ratio_1m", "sessions_cpu_ratio_1m_spread"})
    small = Worker(bench, "few")
    bench.place(bench.cores.others)
    started = time.monotonic()
    small.start()
    empty_start_s = time.monotonic() - started
    try:
        base = _measure_few(bench, small) if measures_cost else None
        if base is None:
            small.warm_up(make_load(bench.traffic(few).first_visits()).records)
        small_mb, small_states = small.rss_mb(), small.metric(_STATES)
    finally:
        small.stop()
    large = Worker(bench, "many")
    large.start()
    try:
        known = _fill(bench, large, many)
        states = large.metric(_STATES)
        require(states == many, f"{states:,.0f} states are held, should be {many:,}")
        yield _weight(large.rss_mb() - small_mb, states - small_states)
        yield _restore(bench, large, many, empty_start_s)
        if base is not None:
            yield from _ratios(bench, large, base, known)
    finally:
        large.stop()


def _measure_few(bench: Workbench, worker: Worker) -> Cost:
    sizes = bench.sizes
    with bench.stage(f"{sizes.few_sessions:,} sessions, {sizes.events:,} events"):
        traffic = bench.traffic(sizes.few_sessions)
        warm_up = make_load(traffic.records(sizes.warm_up))
        worker.warm_up(warm_up.records)
        load = make_load(traffic.records(sizes.events))
        measured = worker.measure(load)
    verify_streams(worker.broker, worker.settings, warm_up + load)
    return measured.cost


def _fill(bench: Workbench, worker: Worker, sessions: int) -> Load:
    """One event of each visitor."""
    known = Load([], [], [])
    with bench.stage(f"{sessions:,} sessions"):
        visits = bench.traffic(sessions).first_visits()
        while records := list(islice(visits, _SLICE)):
            part = make_load(records)
            worker.warm_up(part.records)
            known += part.without_records()
    return known


def _weight(mb: float, states: float) -> Line:
    note = f"RSS of a worker with {states:,.0f} more sessions than another, MiB a million; one event each"
    return Line("worker_rss_per_million_sessions_mb", mb / states * 1e6, "MiB", note=note)


def _restore(bench: Workbench, worker: Worker, states: int, empty_start_s: float) -> Line:
    worker.stop()
    with bench.stage(f"restore {states:,} states"):
        started = time.monotonic()
        worker.start()
        # Ready is said after restoring; the states are counted lest it be said before.
        wait_until(lambda: worker.metric(_STATES) == states, "the states", _RESTORE_TIMEOUT_S, 0.2)
        seconds = time.monotonic() - started
    records = worker.metric(_RESTORED)
    note = (
        f"start of a process to ready, {states:,} states from {records:,.0f} changelog records; "
        f"an empty worker takes {empty_start_s:.1f} s of that"
    )
    return Line("restore_1m_s", seconds, "s", note=note)


def _ratios(bench: Workbench, worker: Worker, base: Cost, known: Load) -> Iterator[Line]:
    sizes = bench.sizes
    passed_s = sizes.many_sessions / 1000  # of event time, by the visits
    few, many = f"{sizes.few_sessions:,}", f"{sizes.many_sessions:,}"
    found = {}
    for visitors, text in ((sizes.few_sessions, f"of {few} among {many}"), (sizes.many_sessions, f"of all {many}")):
        traffic = bench.traffic(visitors, seed=visitors, ago_s=3_600 - passed_s)
        with bench.stage(f"{sizes.events:,} events {text} sessions"):
            warm_up = make_load(traffic.records(sizes.warm_up))
            worker.warm_up(warm_up.records)
            load = make_load(traffic.records(sizes.events))
            found[visitors] = worker.measure(load)
            known += warm_up.without_records() + load.without_records()
    with bench.stage("read the outputs back"):
        verify_streams(worker.broker, worker.settings, known)
    narrow, spread = found[sizes.few_sessions], found[sizes.many_sessions]
    baseline = f"CPU an event; ratio: by that of the same traffic where only those {few} are live, less is better"
    note = f"events of {few} visitors while {many} sessions are live; {baseline}"
    yield _ratio("sessions_cpu_ratio_1m", narrow.cost, base, note)
    note = (
        f"events spread evenly over {many} live sessions, {spread.sessions / sizes.events:.2f} session rows an event "
        f"instead of {narrow.sessions / sizes.events:.2f}; CPU an event; ratio: by that of {few} visitors, {few} live"
    )
    yield _ratio("sessions_cpu_ratio_1m_spread", spread.cost, base, note)


def _ratio(name: str, cost: Cost, base: Cost, note: str) -> Line:
    return Line(name, cost.cpu_us, "µs", base.cpu_us, cost.cpu_us / base.cpu_us, note)
