"""Runs a planted test module under this project's settings and guards."""

import subprocess
import sys
from pathlib import Path

from docker.local import PROJECT_ROOT


def run_planted(folder: Path, text: str, *options: str) -> str:
    """What pytest says of it."""
    planted = folder / "test_planted.py"
    planted.write_text(text)
    plugins = ["-p", "tests.fast", "-p", "tests.time_limits", "-p", "no:cacheprovider"]
    settings = ["-c", str(PROJECT_ROOT / "pyproject.toml"), f"--rootdir={folder}", "-o", "timeout=2"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugins, *settings, *options, str(planted)],
        cwd=PROJECT_ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return done.stdout + done.stderr
