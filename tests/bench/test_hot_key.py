"""One visitor with half of the events, what is written for him, and the line drawn through the cost of his events."""

import pytest

from tests.bench.hot_key import Written, drawn_on, growth, summarise, written
from tests.bench.loads import make_load
from tests.bench.rounds import Reading, Readings
from tests.bench.sizes import FULL
from tests.bench.traffic import Traffic


def test_hot_visitor_has_his_share_and_everybody_else_the_rest() -> None:
    traffic = Traffic(visitors=50, hot_share=0.5)
    keys = [record["key"] for record in make_load(traffic.records(2_000)).records]
    assert 0.45 < keys.count(traffic.hot_key) / len(keys) < 0.6
    assert len(set(keys)) == 50


def test_traffic_without_a_hot_visitor_gives_each_his_turn() -> None:
    traffic = Traffic(visitors=50)
    keys = [record["key"] for record in make_load(traffic.records(2_000)).records]
    assert keys.count(traffic.hot_key) < 100


def test_bytes_are_counted_by_key_with_what_stands_around_it() -> None:
    records = [(b"\x00hot", b"12345"), (b"\x01cold", b"1"), (b"\x00hot", b"123456789")]
    assert written(records, b"hot") == Written(22, 2, 13)
    assert written(records) == Written(28, 3, 13)
    assert written([], b"hot") == Written(0, 0, 0)


def test_straight_line_is_drawn_on() -> None:
    assert drawn_on([1, 2, 3], [20.0, 21.0, 22.0], to=10) == pytest.approx(29)
    assert drawn_on([1, 2, 3], [20.0, 20.0, 20.0], to=10) == pytest.approx(20)
    assert drawn_on([1, 2, 3], [22.0, 21.0, 20.0], to=10) == pytest.approx(21)  # and not 13


def test_growth_leaves_out_the_first_slice_which_is_a_warm_up() -> None:
    figures = growth([90.0, 20.0, 22.0, 24.0], slice_events=1_000_000)
    assert (figures["first"], figures["last"]) == (20, 24)
    assert figures["far"] == pytest.approx(37)  # 20 µs at 1.5 million events, 2 more each million, at 10 million
    assert [name for name in figures if name.startswith("slice")] == ["slice 2", "slice 3", "slice 4"]


def test_lines_compare_the_visitor_with_even_traffic() -> None:
    figures = {
        "cpu_us": 20.0, "paced_cpu_us": 200.0, "at_once_bytes": 150.0, "paced_bytes": 200.0, "at_once_his_bytes": 5.0,
        "paced_his_bytes": 0.0, "paced_his_records": 0.0, "paced_largest": 800.0,
    }  # fmt: skip
    hot = figures | {"cpu_us": 25.0, "paced_his_bytes": 240.0, "paced_his_records": 20.0, "paced_largest": 120_000.0}
    found = {name: Readings((Reading(each, 0.0),)) for name, each in (("even", figures), ("hot", hot))}
    cpu, changelog = summarise(found, FULL)
    assert (cpu.value, cpu.ratio) == (25, 1.25)
    assert (changelog.value, changelog.ratio) == (240, 1.2)
    assert "20 records in 10 s, the largest 120 kB" in changelog.note
