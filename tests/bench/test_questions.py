"""`make bench BENCH=--questions` as a command, small; and the rows that it asks about."""

import json

import pytest

from tests.bench.command import bench
from tests.bench.question_rows import History


@pytest.mark.integration
def test_every_question_is_answered_and_told_with_its_cost() -> None:
    done = bench("--questions", "--quick")
    assert done.returncode == 0, done.stderr
    lines = {line["question"]: line for line in map(json.loads, done.stdout.splitlines())}
    patterns = {name.partition(":")[0] for name in lines}
    assert patterns == {
        "time range", "funnel", "user history", "visitor history", "session lookup", "message lookup", "persons",
    }  # fmt: skip
    for line in lines.values():
        assert line["milliseconds"] > 0
        assert line["memory_mb"] > 0
        assert line["share_percent"] < 70
    assert "bytes a row" in done.stderr


def test_rows_follow_from_their_numbers() -> None:
    history = History(1_000, 1_795_000_000_000)
    assert history.insert(0, 10) == history.insert(0, 10) != history.insert(10, 10)
    assert "$" not in history.insert(0, 10)
