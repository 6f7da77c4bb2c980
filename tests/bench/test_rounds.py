"""Rounds, medians, spreads, flags: what stands between a measurement and a line."""

import json
import os
import subprocess
import sys
import time

import pytest

from tests.bench.lines import BUSY_SHARE, Line, believable
from tests.bench.machine import Others
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


# A process that burns so much CPU, and ends; then its parent has it in its account.
_BURN = "import time\nwhile time.process_time() < {seconds}: pass"


def test_work_of_this_run_and_its_children_is_not_others() -> None:
    """Others can add to the share at most what this run has left of the machine, however busy they are."""
    others, before = Others(), os.times()
    children = [subprocess.Popen([sys.executable, "-c", _BURN.format(seconds=1)]) for _ in range(2)]
    for child in children:
        child.wait()
    after, share = os.times(), others.share()
    own_s = sum(after[:4]) - sum(before[:4])
    total_s = (after.elapsed - before.elapsed) * (os.cpu_count() or 1)
    assert own_s >= 2
    assert share <= 1 - own_s / total_s + 0.05


def test_work_of_a_process_that_this_run_did_not_start_is_others() -> None:
    """An orphan is nobody's child: its parent ends at once, and init takes it over."""
    others = Others()
    start = time.monotonic()
    script = _BURN.format(seconds=1)
    orphaned = f"import os, sys\nif os.fork(): os._exit(0)\nos.close(1)\n{script}\nos.write(2, b'done')"
    parent = subprocess.Popen([sys.executable, "-c", orphaned], stderr=subprocess.PIPE)
    assert parent.stderr is not None
    assert parent.stderr.read() == b"done"  # the orphan's, after its second of CPU
    parent.wait()
    burnt_share = 1 / ((time.monotonic() - start) * (os.cpu_count() or 1))
    assert others.share() >= burnt_share * 0.8
