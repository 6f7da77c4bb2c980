"""A test that hangs is ended, whatever it does about that, and the next one runs."""

from pathlib import Path

import pytest

from tests.project.planted import run_planted

pytestmark = pytest.mark.command

HANGS = """
import threading
def wait_beside(event):
    event.wait(40)
def test_planted():
    event = threading.Event()
    threading.Thread(target=wait_beside, args=(event,), daemon=True).start()
    event.wait(40)
"""
HANGS_FOR_EVERY_EXAMPLE = """
import time
from hypothesis import given, settings, strategies as st
@settings(database=None)
@given(st.integers())
def test_planted(number):
    time.sleep(40)
"""
SWALLOWS_ONE = """
import asyncio, time
import tests.time_limits
tests.time_limits._AGAIN_S = 1.0
async def swallow():
    try:
        time.sleep(40)
    except BaseException:
        pass
async def test_planted():
    await asyncio.gather(swallow(), asyncio.sleep(40))
"""
HANGS_AFTER_A_FAILURE = """
import time
import pytest
@pytest.fixture
def server():
    yield
    time.sleep(40)
def test_planted(server):
    assert "the first failure" == ""
"""
SWALLOWS_ALL = """
import time
import tests.time_limits
tests.time_limits._AGAIN_S = tests.time_limits._ENDED_AFTER_S = 1.0
def test_planted():
    while True:
        try:
            time.sleep(40)
        except BaseException:
            pass
"""
AFTER = "def test_after():\n    pass\n"


@pytest.mark.parametrize(
    "text",
    [HANGS, HANGS_FOR_EVERY_EXAMPLE, SWALLOWS_ONE],
    ids=["hangs", "hangs for every example", "swallows the end"],
)
def test_a_test_that_hangs_fails_and_the_next_one_runs(tmp_path: Path, text: str) -> None:
    said = run_planted(tmp_path, text + AFTER)
    assert "1 failed, 1 passed" in said
    assert "TimeIsOverError: Timeout: this takes more than 2 s" in said


def test_every_thread_says_where_it_stood_also_in_a_parallel_run(tmp_path: Path) -> None:
    said = run_planted(tmp_path, HANGS, "-n", "1")
    assert "in wait_beside" in said
    assert "in test_planted" in said


def test_fixtures_of_a_test_that_has_failed_may_not_hang_either(tmp_path: Path) -> None:
    said = run_planted(tmp_path, HANGS_AFTER_A_FAILURE + AFTER)
    assert "the first failure" in said
    assert "1 failed, 1 passed, 1 error" in said


def test_a_process_that_cannot_be_told_is_ended_with_its_stacks_and_another_goes_on(tmp_path: Path) -> None:
    said = run_planted(tmp_path, SWALLOWS_ALL + AFTER, "-n", "1")
    assert "in test_planted" in said
    assert "crashed while running" in said
    assert "1 failed, 1 passed" in said


def test_a_limit_ends_with_its_test(tmp_path: Path) -> None:
    said = run_planted(tmp_path, "import time\n" + "".join(f"def test_{n}():\n    time.sleep(0.9)\n" for n in range(4)))
    assert "4 passed" in said
