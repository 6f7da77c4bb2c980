"""Who gets which tests in a parallel run."""

import subprocess
import sys
from pathlib import Path

import pytest

from docker.local import PROJECT_ROOT
from tests import schedule

CONFTEST = """
from tests import schedule
from tests.schedule import pytest_xdist_make_scheduler
schedule._LONGEST_FIRST = ("test_a.py", "test_b.py", "test_c.py")
"""
WAITS_FOR_C = """
import pathlib, time
def test_long():
    give_up_at = time.monotonic() + 20
    while not pathlib.Path("c").exists():
        assert time.monotonic() < give_up_at, "nobody else has run test_c.py"
        time.sleep(0.02)
"""


def test_every_path_that_is_named_exists() -> None:
    for path in (*schedule._LONGEST_FIRST, *schedule._APART):
        assert (PROJECT_ROOT / path).exists(), path


def test_longest_files_come_first_and_the_others_keep_their_order() -> None:
    last = len(schedule._LONGEST_FIRST)
    ids = ["tests/test_schedule.py::a", f"{schedule._LONGEST_FIRST[0]}::b", f"{schedule._LONGEST_FIRST[3]}::c"]
    assert [schedule.turn(nodeid) for nodeid in ids] == [last, 0, 3]


@pytest.mark.command
def test_while_a_worker_is_in_a_long_test_the_next_long_file_is_anothers(tmp_path: Path) -> None:
    """xdist gives each of two workers two files at once: the third would wait for the first to end."""
    texts = dict.fromkeys("abcde", "def test_short():\n    pass\n") | {"a": WAITS_FOR_C}
    texts["c"] = "import pathlib\ndef test_c():\n    pathlib.Path('c').touch()\n"
    (tmp_path / "conftest.py").write_text(CONFTEST)
    for name, text in texts.items():
        (tmp_path / f"test_{name}.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]
    done = subprocess.run(
        [*command, "--rootdir", str(tmp_path), "-o", f"pythonpath={PROJECT_ROOT}"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
