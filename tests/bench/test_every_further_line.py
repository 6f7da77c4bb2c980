"""What `make bench BENCH=--all` measures beyond `make bench`: every line once, small."""

import json

import pytest

from tests.bench.__main__ import EVERY_GROUP, FURTHER_GROUPS, GROUPS, LONG_GROUPS, groups_of
from tests.bench.command import bench

LONG = [name for group in LONG_GROUPS for name in group.names]
FURTHER = [name for group in FURTHER_GROUPS for name in group.names]


def test_all_is_every_line_once_and_the_usual_run_has_none_of_the_long_ones() -> None:
    names = [name for group in groups_of(every=True, long=False) for name in group.names]
    assert len(names) == len(set(names))
    assert {*LONG, *FURTHER} < {*names}
    assert groups_of(every=False, long=False) == GROUPS
    assert groups_of(every=False, long=True) == (*GROUPS, *LONG_GROUPS)
    assert groups_of(every=True, long=True) == EVERY_GROUP


# One of the usual lines is among them that fills a table as a further one does: in one run they share servers.
@pytest.mark.timeout(600)  # a minute or two, where nothing runs beside it
@pytest.mark.integration
@pytest.mark.parametrize("wanted", [LONG, [*FURTHER, "sink_rows_per_s"]], ids=["--long", "--all"])
def test_every_further_line_is_printed_once(wanted: list[str]) -> None:
    done = bench("--quick", "--sessions", "20000", "--only", ",".join(wanted))
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(line["name"] for line in lines) == sorted(wanted)
    for line in lines:
        assert 0 < line["low"] <= line["value"] <= line["high"]
        assert line["note"]
        assert line["note"].startswith("A MODEL") == ("model" in line["name"])


@pytest.mark.command
def test_more_sessions_than_there_is_memory_for_are_refused() -> None:
    done = bench("--sessions", "1000000000", "--only", "restore_1m_s")
    assert (done.returncode, done.stdout) == (2, "")
    assert "1,000,000,000 sessions take about" in done.stderr
