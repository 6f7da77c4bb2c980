"""How much of everything a run takes: `FULL` for figures, `QUICK` to see that all of it works."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Sizes:
    """Counts of events unless the name says otherwise; a warm-up is not measured."""

    warm_up: int
    events: int
    visitors: int
    stock_warm_up: int
    stock_events: int
    sink_copies: int  # how often the enriched events stand in the sink's topic, each time with new offsets
    load_warm_up_s: float
    load_s: float
    steady_warm_up_s: float
    steady_s: float
    steady_events_per_s: int
    few_sessions: int
    many_sessions: int


FULL: Final = Sizes(
    warm_up=60_000,
    events=300_000,
    visitors=20_000,
    stock_warm_up=2_000,
    stock_events=10_000,
    sink_copies=3,
    load_warm_up_s=2,
    load_s=6,
    steady_warm_up_s=5,
    steady_s=30,
    steady_events_per_s=2_000,
    few_sessions=10_000,
    many_sessions=1_000_000,
)
QUICK: Final = Sizes(
    warm_up=3_000,
    events=12_000,
    visitors=1_000,
    stock_warm_up=100,
    stock_events=400,
    sink_copies=1,
    load_warm_up_s=1,
    load_s=1,
    steady_warm_up_s=1,
    steady_s=3,
    steady_events_per_s=400,
    few_sessions=500,
    many_sessions=10_000,
)
