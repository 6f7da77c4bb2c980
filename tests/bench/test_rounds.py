"""Rounds, medians, spreads, flags: what stands between a measurement and a line."""

import json
import os
import subprocess
import sys

import pytest

from tests.bench.lines import BUSY_SHARE, Line, believable
from tests.bench.machine import Others, machine_ticks, own_ticks
from tests.bench.rounds import Arm, Reading, Readings, in_turn, make_line


def readings(*values: float, others_cpu: float = 0.0) -> Readings:
    return Readings(tuple(Reading({"cpu_us": value}, others_cpu) for value in values))


def test_arms_take_turns_in_every_round() -> None:
    calls: list[str] = []

    def arm(name: str) -> Arm:
        def measure(number: int) -> Reading:
            calls.append(f"{name}{number}")
            return Reading({"cpu_us": number}, 0.0)

        return measure

    found = in_turn({"a": arm("a"), "b": arm("b"), "c": arm("c")}, 3, lambda: 0.0)
    assert calls == ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]
    assert found["b"].of("cpu_us") == [0, 1, 2]


def test_whoever_was_busy_before_a_round_counts_for_all_of_it() -> None:
    before = iter([0.0, 0.6])
    found = in_turn({"a": lambda _number: Reading({}, 0.1)}, 2, lambda: next(before))
    assert [reading.others_cpu for reading in found["a"].rounds] == [0.1, 0.6]
    assert found["a"].others_cpu == 0.6


def test_line_is_the_median_between_the_lowest_and_the_highest() -> None:
    line = make_line("cost", "µs", readings(30, 10, 20), "cpu_us")
    assert (line.value, line.low, line.high, line.rounds) == (20, 10, 30, 3)
    assert (line.baseline, line.ratio, line.ratio_low, line.ratio_high) == (None, None, None, None)


def test_ratio_is_taken_in_each_round_and_not_of_the_medians() -> None:
    against = readings(10, 40, 20), "cpu_us"
    line = make_line("cost", "µs", readings(30, 40, 100), "cpu_us", against=against)
    assert (line.baseline, line.ratio, line.ratio_low, line.ratio_high) == (20, 3, 1, 5)
    turned = make_line("cost", "µs", readings(5, 10, 5), "cpu_us", against=against, turned=True)
    assert (turned.ratio, turned.ratio_low, turned.ratio_high) == (4, 2, 4)


@pytest.mark.parametrize(("own", "its"), [(BUSY_SHARE * 2, 0.0), (0.0, BUSY_SHARE * 2)])
def test_line_is_busy_when_others_disturbed_either_arm(own: float, its: float) -> None:
    against = readings(1, others_cpu=its), "cpu_us"
    line = make_line("cost", "µs", readings(1, others_cpu=own), "cpu_us", against=against)
    assert line.busy
    assert line.others_cpu == BUSY_SHARE * 2


def test_line_of_a_quiet_machine_is_not_busy() -> None:
    line = make_line("cost", "µs", readings(1, 2, others_cpu=BUSY_SHARE), "cpu_us")
    assert not line.busy
    assert json.loads(line.as_json())["busy"] is False


@pytest.mark.parametrize(
    ("value", "cut"),
    [
        (42_246.0, 42_000),
        (12_345.0, 12_300),
        (24.36, 24),
        (1.0449, 1.04),
        (0.7512, 0.75),
        (0.1234, 0.123),
        (99.9, 100),
        (0.0, 0),
        (-42.6, -43),
    ],
)
def test_no_more_digits_than_rounds_agree_on(value: float, cut: float) -> None:
    assert believable(value) == cut


def test_line_has_the_promised_keys() -> None:
    assert json.loads(Line("rate", 123456.7, 98765.4, 200001.0, "events/s", others_cpu=0.1234).as_json()) == {
        "name": "rate",
        "value": 123_000,
        "low": 99_000,
        "high": 200_000,
        "unit": "events/s",
        "baseline": None,
        "ratio": None,
        "ratio_low": None,
        "ratio_high": None,
        "rounds": 1,
        "others_cpu": 0.12,
        "busy": False,
        "note": "",
    }


# A process that burns a second of CPU, and ends; counters in ticks may miss the beginning and the end of it.
_BURN = "import time\nwhile time.process_time() < 1: pass"
_BURNT_TICKS = os.sysconf("SC_CLK_TCK") * 0.9


@pytest.mark.command
def test_work_of_this_run_is_its_own_also_after_its_children_ended() -> None:
    before = own_ticks()
    children = [subprocess.Popen([sys.executable, "-c", _BURN]) for _ in range(2)]
    for child in children:
        child.wait()
    assert own_ticks() - before >= 2 * _BURNT_TICKS


@pytest.mark.command
def test_work_of_a_process_that_this_run_did_not_start_is_not_its_own() -> None:
    """An orphan is nobody's child: its parent ends at once, and init takes it over."""
    (_, others), own = machine_ticks(), own_ticks()
    orphaned = f"import os\nif os.fork(): os._exit(0)\n{_BURN}\nos.write(2, b'done')"
    with subprocess.Popen([sys.executable, "-c", orphaned], stderr=subprocess.PIPE) as parent:
        assert parent.stderr is not None
        assert parent.stderr.read() == b"done"  # the orphan's, after its second of CPU
    assert own_ticks() - own < _BURNT_TICKS
    assert machine_ticks()[1] - others >= _BURNT_TICKS


@pytest.mark.parametrize(
    ("total", "others", "share"),
    [(400, 100, 0.25), (400, 0, 0.0), (400, -3, 0.0), (400, 401, 1.0), (0, 0, 0.0)],
)
def test_share_is_of_all_cores_and_within_its_bounds(total: int, others: int, share: float) -> None:
    read = iter([(1_000, 500), (1_000 + total, 500 + others)])
    assert Others(lambda: next(read)).share() == share
