"""How much of everything a run takes: `FULL` for figures, `QUICK` to see that all of it works."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Held:
    """When a rate counts as held.

    growth_max: s a second by which rows may come later and later. wait_s_max: of 95 in 100 rows: a lag that is large
    and stays so is not what one wants to hold. late_s_max: of what sends.
    """

    growth_max: float
    wait_s_max: float
    late_s_max: float


@dataclass(frozen=True, slots=True)
class Sizes:
    """Counts of events unless the name says otherwise; a warm-up is not measured."""

    rounds: int
    partitions: int
    broker_lives_minutes: bool  # it compiles little then: no broker to measure anything with
    warm_up: int
    events: int
    visitors: int
    shared_events: int  # a backlog that two systems get, after a warm-up as large
    paced_warm_up_s: float
    paced_s: float
    sink_copies: int  # how often the enriched events stand in the sink's topic, each time with new offsets
    load_warm_up_s: float
    load_s: float
    steady_warm_up_s: float
    steady_s: float
    steady_events_per_s: int
    few_sessions: int
    many_sessions: int
    hot_events: int  # of which half are one visitor's
    hot_slices: int  # of events of one visitor alone
    hot_slice: int
    high_events_per_s: int
    search_first_events_per_s: int
    search_step_events_per_s: int
    search_trials: int
    search_s: float
    held: Held


FULL: Final = Sizes(
    rounds=3,
    partitions=12,
    broker_lives_minutes=False,
    warm_up=60_000,
    events=150_000,
    visitors=20_000,
    shared_events=20_000,
    paced_warm_up_s=3,
    paced_s=10,
    sink_copies=4,
    load_warm_up_s=1,
    load_s=3,
    steady_warm_up_s=5,
    steady_s=10,
    steady_events_per_s=2_000,
    few_sessions=10_000,
    many_sessions=1_000_000,
    hot_events=300_000,
    hot_slices=10,
    hot_slice=200_000,
    high_events_per_s=20_000,
    search_first_events_per_s=10_000,
    search_step_events_per_s=2_500,
    search_trials=6,
    search_s=15,
    held=Held(
        growth_max=0.05, wait_s_max=5, late_s_max=0.5
    ),  # 3 s later after a minute; batches make waits differ by 1 s
)
QUICK: Final = Sizes(
    rounds=1,
    partitions=4,  # each costs the broker some work, and there are a hundred topics
    broker_lives_minutes=True,
    warm_up=3_000,
    events=12_000,
    visitors=1_000,
    shared_events=300,
    paced_warm_up_s=1,
    paced_s=2,
    sink_copies=1,
    load_warm_up_s=1,
    load_s=1,
    steady_warm_up_s=1,
    steady_s=3,
    steady_events_per_s=400,
    few_sessions=500,
    many_sessions=10_000,
    hot_events=6_000,
    hot_slices=3,
    hot_slice=3_000,
    high_events_per_s=800,
    search_first_events_per_s=400,
    search_step_events_per_s=400,
    search_trials=2,
    search_s=3,
    held=Held(growth_max=30, wait_s_max=60, late_s_max=60),  # of three seconds on a busy machine nothing can be said
)
