"""The library that moves the clock, compiled when its source has changed."""

import hashlib
import platform
import subprocess
from pathlib import Path

from docker.local import PROJECT_ROOT
from docker.local.tools import require_tool

_SOURCES = [Path(__file__).with_name(name) for name in ("moments.c", "file_times.c")]
_FOLDER = PROJECT_ROOT / ".tally" / "clock"


class BuildFailedError(RuntimeError):
    """The library cannot be built here; the text says why."""


def build() -> Path:
    """The library's path. Raises `MissingToolError` without a C compiler, `BuildFailedError`."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise BuildFailedError("the clock can be moved on Linux on x86_64 alone: set the machine's own clock instead")
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in _SOURCES)).hexdigest()[:16]
    library = _FOLDER / f"shifted-{digest}.so"
    if not library.exists():
        _FOLDER.mkdir(parents=True, exist_ok=True)
        incoming = library.with_suffix(".incoming")
        options = ["-O2", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror", "-o", str(incoming), *map(str, _SOURCES)]
        done = subprocess.run([require_tool("cc"), *options], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BuildFailedError(f"cc ended with {done.returncode}:\n{done.stderr}")
        incoming.rename(library)
    return library
