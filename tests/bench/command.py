"""`python -m tests.bench` as a process."""

import subprocess
import sys
from pathlib import Path

from docker.local import PROJECT_ROOT


def bench(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """One `python -m tests.bench`."""
    command = [sys.executable, "-m", "tests.bench", *map(str, arguments)]
    return subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
