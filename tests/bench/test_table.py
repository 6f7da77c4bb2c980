"""The README's table is made from a run's file, and says what its lines say."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from docker.local import PROJECT_ROOT
from tests.bench.__main__ import EVERY_GROUP, GROUPS, Group, app
from tests.bench.lines import Line
from tests.bench.table import RunFileError, table_of
from tests.bench.table_rows import ROWS


def compared(name: str, value: float = 20.0, low: float = 19.0, high: float = 22.0) -> Line:
    """A line of three rounds."""
    return Line(name, value, low, high, "µs", 500.0, 2.5, 2.4, 2.6, 3)


def write_run(path: Path, *changed: Line, quick: bool = False, groups: Sequence[Group] = EVERY_GROUP) -> Path:
    """A file of a run that measured every line of the groups, the changed ones in place of their namesakes."""
    names = [name for group in groups for name in group.names]
    lines = {name: compared(name) for name in names}
    lines |= {line.name: line for line in changed}
    run: dict[str, Any] = {"started_at": "2026-01-02T03:04:05Z", "seconds": 610, "cores": 2, "quick": quick}
    path.write_text(json.dumps(run | {"lines": [line.as_dict() for line in lines.values()]}))
    return path


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    return tmp_path / "run.json"


def titles(text: str) -> list[str]:
    return [row.split("|")[1].strip() for row in text.splitlines() if row.startswith("| ")]


def test_a_cell_has_the_median_and_the_spread_of_value_and_ratio(run_file: Path) -> None:
    line = Line("collector_vs_bare", 82.0, 80.0, 91.0, "µs", 39.0, 2.1, 2.0, 2.2, 3)
    (row,) = [row for row in table_of(write_run(run_file, line)).splitlines() if "one event a request" in row]
    assert "82 (80 to 91) µs of CPU a request" in row
    assert "2.1 (2 to 2.2) × an aiohttp handler" in row


def test_both_costs_of_stock_faust_and_of_the_worker_are_told(run_file: Path) -> None:
    steady = compared("streams_steady_cpu_us_per_event", 210.0, 200.0, 220.0)
    versus = replace(steady, name="streams_steady_vs_stock_faust", baseline=480.0, ratio=2.3)
    text = table_of(write_run(run_file, steady, versus))
    assert "210 (200 to 220) µs of CPU an event" in text
    assert "500 µs of CPU an event in a backlog; 480 µs at 2,000 events/s" in text
    assert "2.3 (2.4 to 2.6) × at 2,000 events/s" in text


def test_a_line_that_others_disturbed_is_marked_and_counted(run_file: Path) -> None:
    line = replace(compared("collector_vs_bare"), others_cpu=0.4, busy=True)
    text = table_of(write_run(run_file, line))
    assert [row for row in text.splitlines() if "busy machine" in row] == [
        row for row in text.splitlines() if "one event a request" in row
    ]
    assert "up to 40 % of the machine's CPU; 1 of " in text


def test_a_quick_run_says_that_it_means_nothing(run_file: Path) -> None:
    assert "mean nothing" in table_of(write_run(run_file, quick=True))
    assert "mean nothing" not in table_of(write_run(run_file))


def test_a_line_that_was_not_measured_has_no_row(run_file: Path) -> None:
    every = titles(table_of(write_run(run_file)))
    run = json.loads(run_file.read_text())
    run["lines"] = [line for line in run["lines"] if line["name"] != "collector_vs_bare"]
    run_file.write_text(json.dumps(run))
    assert titles(table_of(run_file)) == [title for title in every if title != "collector, one event a request"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"lines": [{"value": 1}]}', '{"lines": 3}'])
def test_another_file_is_refused_by_name(run_file: Path, text: str) -> None:
    run_file.write_text(text)
    with pytest.raises(RunFileError, match=re.escape(str(run_file))):
        table_of(run_file)
    result = CliRunner().invoke(app, ["--table", str(run_file)])
    assert (result.exit_code, result.stdout) == (2, "")


def test_table_option_prints_the_table_and_measures_nothing(run_file: Path) -> None:
    result = CliRunner().invoke(app, ["--table", str(write_run(run_file))])
    assert (result.exit_code, result.stdout) == (0, table_of(run_file) + "\n")


def test_every_line_is_in_a_row(run_file: Path) -> None:
    written = {name for _, names, _, _ in ROWS for name in names}
    told_elsewhere = {
        "streams_steady_vs_stock_faust", "sessions_cpu_ratio_1m", "sessions_cpu_ratio_1m_spread",
        "collector_requests_per_s", "collector_events_per_s_20",
    }  # fmt: skip
    assert written | told_elsewhere == {name for group in EVERY_GROUP for name in group.names}
    assert len(titles(table_of(write_run(run_file)))) == len(ROWS) + 1


def test_readme_has_every_row_of_make_bench_and_none_that_the_table_does_not_have(run_file: Path) -> None:
    section = titles((PROJECT_ROOT / "README.md").read_text().partition("## How fast")[2].partition("\n## ")[0])
    # The row about a million sessions says there that it is of an earlier reading.
    section = [title for title in section if "1,000,000" not in title]
    usual = titles(table_of(write_run(run_file, groups=GROUPS)))
    assert [title for title in section if title in usual] == usual
    assert [title for title in titles(table_of(write_run(run_file))) if title in section] == section
