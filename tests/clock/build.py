"""The library that moves the clock."""

import platform
from pathlib import Path

from docker.local.c_library import BuildFailedError, c_library

_SOURCES = [Path(__file__).with_name(name) for name in ("moments.c", "file_times.c")]


def build() -> Path:
    """The library's path. Raises `MissingToolError` without a C compiler, `BuildFailedError`."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise BuildFailedError("the clock can be moved on Linux on x86_64 alone: set the machine's own clock instead")
    return c_library("shifted", _SOURCES)
