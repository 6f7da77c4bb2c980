"""Run a command on another date: `python -m tests.clock 2028-03-01 python -m pytest -q -n 2 tests/sinks`.

The wall clock of the command and of every process it starts is moved by whole days, and goes on from there.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from datetime import UTC, date, datetime
from pathlib import Path

from docker.local.c_library import BuildFailedError
from docker.local.tools import CLOCK_VARIABLES, MissingToolError
from tests.clock.build import build

_DAY_S = 86_400


def main(arguments: list[str]) -> int:  # noqa: RET503 - an exec does not return
    """Become the command, or say what is wrong: 2."""
    parser = argparse.ArgumentParser(prog="python -m tests.clock", description=__doc__)
    parser.add_argument("day", type=date.fromisoformat, help="the day it shall be (UTC), as 2028-03-01")
    parser.add_argument("command", help="the command to run")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="its arguments")
    chosen = parser.parse_args(arguments)
    program = shutil.which(chosen.command)
    if program is None:
        parser.error(f"no such command: {chosen.command}")
    try:
        library = build()
    except (MissingToolError, BuildFailedError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    already = int(os.environ.get("CLOCK_OFFSET_S", "0"))  # a run on another date that is started in one
    days = (chosen.day - datetime.now(UTC).date()).days
    print(f"→ the clock says {chosen.day}: {days:+d} days", flush=True)
    # pytest takes other sessions' folders for dead that are three days old, and removes them: on this clock all are.
    folder = Path(tempfile.gettempdir()) / f"tally-clock-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    moved = dict(
        zip(CLOCK_VARIABLES, (str(library), str(already + days * _DAY_S), str(int(time.time()) - already)), strict=True)
    )
    os.execve(program, [chosen.command, *chosen.arguments], os.environ | moved | {"PYTEST_DEBUG_TEMPROOT": str(folder)})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
