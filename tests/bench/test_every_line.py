"""`make bench` as a command: every line once, small, beside whatever else runs; the figures mean nothing here."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

from tests.bench.__main__ import GROUPS
from tests.bench.command import bench
from tests.bench.lines import BUSY_SHARE, Line


@pytest.mark.timeout(600)  # a minute, where nothing runs beside it
@pytest.mark.integration
def test_every_line_is_printed_once_and_written_to_the_file(tmp_path: Path) -> None:
    """Each arm once, small: the figures mean nothing, but every system does its work and is checked."""
    done = bench("--quick", "--json", tmp_path / "lines.json")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(line["name"] for line in lines) == sorted(name for group in GROUPS for name in group.names)
    for line in lines:
        assert line.keys() == {field.name for field in fields(Line)}
        assert 0 < line["low"] <= line["value"] <= line["high"]
        assert line["unit"]
        assert line["note"]
        assert line["rounds"] == 1
        assert line["busy"] == (line["others_cpu"] > BUSY_SHARE)
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
