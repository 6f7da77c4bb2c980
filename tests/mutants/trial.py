"""A copy of the tree in which faults are planted, one at a time, and the tests run that must turn red."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from tests.effort import VARIABLE
from tests.mutants.fault import Fault

_LEFT_OUT: Final = {".git", ".venv", ".tally", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis"}
_TEST_S_MAX: Final = 60  # a fault may hang what it is in
_RUN_S_MAX: Final = 300.0
_SAID_CHARS: Final = 2_000
_PYTEST: Final = (
    "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-o", f"timeout={_TEST_S_MAX}", "-m", "not integration",
)  # fmt: skip
# Of pytest's exit codes: those that say nothing about the tests, as none of them was run.
_PASSED, _USAGE, _NONE_FOUND = 0, 4, 5


class Verdict(StrEnum):
    """What the tests said of a fault."""

    KILLED = "killed"
    SURVIVED = "SURVIVED"
    NOT_RUN = "NOT RUN"


@dataclass(frozen=True, slots=True)
class Result:
    """said: the end of what pytest printed."""

    verdict: Verdict
    seconds: float
    said: str


class Trial:
    """A copy of the project in a folder of its own; the checkout is never touched."""

    def __init__(self, root: Path, home: Path) -> None:
        self._root = home / "tree"
        shutil.copytree(root, self._root, ignore=lambda _folder, names: _LEFT_OUT.intersection(names), symlinks=True)
        self._written = 0

    def run(self, tests: Iterable[str]) -> Result:
        """The tests as the copy is now."""
        started = time.monotonic()
        try:
            done = subprocess.run(
                [sys.executable, *_PYTEST, *tests],
                cwd=self._root,
                env=os.environ | {VARIABLE: "red", "PYTHONPATH": str(self._root)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=_RUN_S_MAX,
            )
        except subprocess.TimeoutExpired:
            return Result(Verdict.KILLED, time.monotonic() - started, f"no end within {_RUN_S_MAX:.0f} s")
        return Result(_verdict(done.returncode), time.monotonic() - started, done.stdout[-_SAID_CHARS:])

    def try_fault(self, fault: Fault) -> Result:
        """The fault's tests with the fault planted. Raises StaleError."""
        with self._planted(fault):
            return self.run(fault.tests)

    @contextmanager
    def _planted(self, fault: Fault) -> Iterator[None]:
        path = self._root / fault.file
        sound = path.read_bytes()
        self._write(path, fault.planted(sound.decode()).encode())
        try:
            yield
        finally:
            self._write(path, sound)

    def _write(self, path: Path, data: bytes) -> None:
        """With a time that the file never had: by size and time Python judges whether it is compiled already."""
        path.write_bytes(data)
        self._written += 1
        at = path.stat().st_mtime + 10 * self._written
        os.utime(path, (at, at))


def _verdict(code: int) -> Verdict:
    """A process that ended otherwise than pytest does was ended by what it tested."""
    if code == _PASSED:
        return Verdict.SURVIVED
    return Verdict.NOT_RUN if code in (_USAGE, _NONE_FOUND) else Verdict.KILLED


def tests_of(faults: Sequence[Fault]) -> list[str]:
    """All tests of the faults, each once."""
    return sorted({test for fault in faults for test in fault.tests})
