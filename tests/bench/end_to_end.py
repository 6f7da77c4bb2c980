"""The lines about the whole pipeline: from sending, and from the answer, to the row being there for a query."""

from collections.abc import Iterator

from tests.bench.lines import Line
from tests.bench.pipeline_run import ASK_S, Run, cores_busy, started
from tests.bench.rounds import Readings, in_turn, make_line
from tests.bench.steady import EVENTS_PER_REQUEST
from tests.bench.workbench import Workbench

NAMES = ("end_to_end_p50_s", "end_to_end_p95_s", "end_to_end_from_sending_p50_s", "end_to_end_from_sending_p95_s")


def lines(bench: Workbench, _wanted: frozenset[str]) -> Iterator[Line]:
    """All of `NAMES`."""
    sizes = bench.sizes
    rate = sizes.steady_events_per_s
    with started(bench, "end_to_end") as pipeline:
        with Run(bench, pipeline) as run:
            run.warm_up(rate, sizes.steady_warm_up_s)
            arms = {"pipeline": lambda _number: run.measure(rate, sizes.steady_s)}
            found = in_turn(arms, sizes.rounds, bench.others_before)["pipeline"]
        run.verify()
    yield from _lines(found, rate)


def _lines(found: Readings, events_per_s: int) -> Iterator[Line]:
    for name, start in (("", "answer"), ("_from_sending", "sending")):
        since = "the collector's answer" if start == "answer" else "the moment its request was due to be sent"
        note = (
            f"{events_per_s:,} events/s ({found.median('per_s'):,.0f} were sent) in requests of {EVENTS_PER_REQUEST}, "
            f"{found.median('samples'):,.0f} samples a round, from {since} to a query seeing the row (asked every "
            f"{ASK_S * 1000:.0f} ms); largest {found.median(f'{start} largest'):.2f} s; cores busy: "
            f"{cores_busy(found)}"
        )
        for quantile_name in ("p50", "p95"):
            yield make_line(f"end_to_end{name}_{quantile_name}_s", "s", found, f"{start} {quantile_name}", note=note)
