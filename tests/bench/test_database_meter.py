"""What the database used, by rows, and CPU by the names of threads."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.database import summarise
from tests.bench.database_meter import bytes_per_row, spent, thread_cpu_s, wait_merged
from tests.bench.rounds import Reading, Readings

USED = {
    "cpu_s": 3.0, "merging_s": 1.0, "InsertedCompactParts": 30.0, "InsertedWideParts": 10.0, "Merge": 5.0,
    "MergedRows": 250_000.0, "InsertQuery": 20.0,
}  # fmt: skip


def test_cpu_and_merged_rows_are_by_row_and_parts_of_both_kinds_are_counted() -> None:
    assert spent(USED, 100_000) == pytest.approx(
        {"database_us": 30, "merging_us": 10, "parts": 40, "inserts": 20, "merges": 5, "merged_rows": 2.5}
    )


def test_bytes_are_of_active_parts_and_projections_are_told_apart() -> None:
    answers = iter(["1000\t340000\t4", "76000"])
    asked: list[str] = []

    def ask(query: str) -> str:
        asked.append(query)
        return next(answers)

    assert bytes_per_row(ask, "events") == {"bytes": 340, "projection_bytes": 76, "active_parts": 4}
    assert all("WHERE active" in query for query in asked)


def test_end_of_merges_is_when_none_runs_and_none_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.bench.database_meter._QUIET_S", 0.05)
    monkeypatch.setattr("tests.bench.database_meter._POLL_S", 0.01)
    states: Iterator[str] = iter(["1\t1", "1\t1", "1\t1", "0\t1", "0\t2", "1\t3", "0\t3"])
    seen: list[str] = []

    def ask(_query: str) -> str:
        seen.append(next(states, "0\t3"))
        return seen[-1]

    wait_merged(ask)
    assert seen[:7] == ["1\t1", "1\t1", "1\t1", "0\t1", "0\t2", "1\t3", "0\t3"]
    assert len(seen) > 8


def test_cpu_of_threads_is_found_by_their_name() -> None:
    burning, burnt = threading.Event(), threading.Event()

    def burn() -> None:
        Path("/proc/thread-self/comm").write_text("BenchBurner")
        until = time.thread_time() + 0.3
        while time.thread_time() < until:
            pass
        burnt.set()
        burning.wait()

    thread = threading.Thread(target=burn)
    thread.start()
    try:
        assert burnt.wait(30)
        found = thread_cpu_s(os.getpid(), "BenchBurner")
        assert 0.25 <= found <= 0.5
        assert thread_cpu_s(os.getpid(), "NoSuchThread") == 0
    finally:
        burning.set()
        thread.join()


def test_lines_tell_merges_and_projections() -> None:
    figures = spent(USED, 100_000) | {
        "bytes": 340.0, "projection_bytes": 76.0, "active_parts": 4.0, "batch": 5_000.0, "written_us": 25.0,
    }  # fmt: skip
    cpu, size = summarise(Readings((Reading(figures, 0.0),)), 100_000)
    assert (cpu.value, size.value) == (30, 340)
    assert "10.0 µs of it merges" in cpu.note
    assert "each row merged 2.5 times" in cpu.note
    assert "76 bytes of it projections" in size.note
