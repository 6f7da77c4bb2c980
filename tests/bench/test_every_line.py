"""`make bench` as a command: every line once, small, beside whatever else runs; the figures mean nothing here."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

from tests.bench.__main__ import EVERY_GROUP, FURTHER_GROUPS, GROUPS, LONG_GROUPS, groups_of
from tests.bench.command import bench
from tests.bench.lines import BUSY_SHARE, Line


# All in one run: four, of some lines each, cost twice the CPU, as each has its own servers.
@pytest.mark.timeout(900)  # two minutes, where nothing runs beside it
@pytest.mark.integration
def test_every_line_is_printed_once_and_written_to_the_file(tmp_path: Path) -> None:
    """Each arm once, small: the figures mean nothing, but every system does its work and is checked."""
    done = bench("--quick", "--all", "--sessions", "20000", "--json", tmp_path / "lines.json")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(line["name"] for line in lines) == sorted(name for group in EVERY_GROUP for name in group.names)
    for line in lines:
        assert line.keys() == {field.name for field in fields(Line)}
        assert 0 < line["low"] <= line["value"] <= line["high"]
        assert line["unit"]
        assert line["note"]
        assert line["note"].startswith("A MODEL") == ("model" in line["name"])
        assert line["rounds"] == 1
        assert line["busy"] == (line["others_cpu"] > BUSY_SHARE)
    assert "20,000 states" in next(line["note"] for line in lines if line["name"] == "restore_1m_s")
    ratios = {line["name"]: line["ratio"] for line in lines if line["ratio"] is not None}
    assert ratios.keys() >= {"streams_vs_copy", "streams_steady_vs_stock_faust", "sink_vs_kafka_engine"}
    assert json.loads((tmp_path / "lines.json").read_text())["lines"] == lines


@pytest.mark.timeout(600)
@pytest.mark.integration
def test_second_round_measures_anew_and_only_what_was_asked_for() -> None:
    wanted = ["sink_rows_per_s", "sink_vs_insert"]  # of a group of four
    done = bench("--quick", "--rounds", "2", "--only", wanted[0], "--only", wanted[1])
    assert done.returncode == 0, done.stderr
    lines = {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert sorted(lines) == wanted
    assert all(line["rounds"] == 2 for line in lines.values())


def test_all_is_every_line_once_and_the_usual_run_has_none_of_the_long_ones() -> None:
    names = [name for group in groups_of(every=True, long=False) for name in group.names]
    assert len(names) == len(set(names))
    assert {name for group in (*LONG_GROUPS, *FURTHER_GROUPS) for name in group.names} < {*names}
    assert groups_of(every=False, long=False) == GROUPS
    assert groups_of(every=False, long=True) == (*GROUPS, *LONG_GROUPS)
    assert groups_of(every=True, long=True) == EVERY_GROUP


@pytest.mark.command
def test_more_sessions_than_there_is_memory_for_are_refused() -> None:
    done = bench("--sessions", "1000000000", "--only", "restore_1m_s")
    assert (done.returncode, done.stdout) == (2, "")
    assert "1,000,000,000 sessions take about" in done.stderr
