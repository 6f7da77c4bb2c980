"""The search for the highest rate, and what counts as held."""

import pytest

from tests.bench.lines import BUSY_SHARE
from tests.bench.pipeline_run import growth
from tests.bench.rounds import Reading, Readings
from tests.bench.search import Found, highest
from tests.bench.sizes import FULL
from tests.bench.sustained import database, held_line, is_held, told


@pytest.mark.parametrize(
    ("limit", "tried", "found"),
    [
        (22_600, [10_000, 20_000, 40_000, 30_000, 25_000, 22_500], Found(22_500, 25_000)),
        (20_000, [10_000, 20_000, 40_000, 30_000, 25_000, 22_500], Found(20_000, 22_500)),
        (8_000, [10_000, 5_000, 7_500], Found(7_500, 10_000)),
        (2_400, [10_000, 5_000, 2_500], Found(0, 2_500)),
    ],
)
def test_rate_found_holds_and_the_next_on_the_grid_does_not(limit: int, tried: list[int], found: Found) -> None:
    rates: list[int] = []

    def holds(rate: int) -> bool:
        rates.append(rate)
        return rate <= limit

    assert highest(holds, first=10_000, step=2_500, trials=10) == found
    assert rates == tried


def test_search_ends_with_its_trials_and_says_what_it_knows() -> None:
    assert highest(lambda rate: rate < 25_000, 10_000, 2_500, trials=4) == Found(20_000, 30_000)
    assert highest(lambda _rate: True, 10_000, 2_500, trials=3) == Found(40_000, None)


def test_wait_grows_by_what_is_not_done_in_time() -> None:
    kept_up = [(float(at), 0.8 + 0.4 * (at % 2)) for at in range(100)]
    behind = [(float(at), 0.8 + at * 0.25) for at in range(100)]
    late_start = [(float(at), 5.0 if at < 10 else 0.8) for at in range(100)]
    assert abs(growth(kept_up)) < 0.01
    assert growth(behind) == pytest.approx(0.25)
    assert growth(late_start) == pytest.approx(0)


def reading(grows: float, late_s: float = 0.0, others_cpu: float = 0.0, p95: float = 1.2) -> Reading:
    figures = {"growth": grows, "late_s": late_s, "sending p95": p95, "cores streams": 0.4}
    return Reading(figures, others_cpu)


def test_rate_is_held_when_rows_come_soon_and_no_later_and_requests_were_sent_on_time() -> None:
    assert is_held(reading(0.01), FULL.held)
    assert not is_held(reading(0.2), FULL.held)
    assert not is_held(reading(-0.5, p95=13.0), FULL.held)
    assert not is_held(reading(0.01, late_s=2.0), FULL.held)
    assert told(5_000, reading(0.01, late_s=2.0), FULL.held) == "5,000 not held (+0.01 s/s, p95 1.2 s, sent 2.0 s late)"


def test_line_of_the_rate_tells_the_step_and_every_trial_and_is_as_busy_as_the_busiest_of_them() -> None:
    trials = [(10_000, reading(0.0)), (20_000, reading(0.3, others_cpu=BUSY_SHARE * 2))]
    line = held_line(trials, Found(10_000, 20_000), FULL)
    assert (line.value, line.low, line.high, line.busy) == (10_000, 10_000, 10_000, True)
    for text in ("steps of 2,500", "10,000 held", "20,000 not held", "streams 0.40"):
        assert text in line.note
    assert "nothing higher was tried" in held_line(trials[:1], Found(10_000, None), FULL).note


def test_database_lines_tell_merges_idle_and_both_rates() -> None:
    figures = {
        "database_us": 30.0, "merging_us": 12.0, "merged_rows": 2.5, "inserts": 30, "merges": 4, "parts_per_s": 3.0,
    }  # fmt: skip
    steady, high = (Readings((Reading(each, 0.0),)) for each in (figures, figures | {"database_us": 9.0}))
    cpu, parts = database({"steady": steady, "high": high}, 20_000, 0.02, FULL)
    assert (cpu.value, parts.value) == (30, 3)
    for text in (
        "2,000 events/s 30.0 µs",
        "merges 12.0",
        "merged 2.5 times",
        "20,000 events/s 9.0 µs",
        "0.02 of a core",
    ):
        assert text in cpu.note
    (alone, _) = database({"steady": steady}, 20_000, 0.02, FULL)
    assert "20,000" not in alone.note
