"""Shared libraries out of C sources, compiled when these have changed."""

import hashlib
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from docker.local import PROJECT_ROOT
from docker.local.tools import require_tool

_FOLDER: Final = PROJECT_ROOT / ".tally" / "libraries"
_OPTIONS: Final = ("-O2", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror")


class BuildFailedError(RuntimeError):
    """The library cannot be built here; the text says why."""


def c_library(name: str, sources: Sequence[Path]) -> Path:
    """The library's path. Raises `MissingToolError` without a C compiler, `BuildFailedError`."""
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    library = _FOLDER / f"{name}-{digest}.so"
    if not library.exists():
        _FOLDER.mkdir(parents=True, exist_ok=True)
        incoming = library.with_suffix(f".{os.getpid()}")  # several processes may build it at once
        command = [require_tool("cc"), *_OPTIONS, "-o", str(incoming), *map(str, sources)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BuildFailedError(f"cc ended with {done.returncode}:\n{done.stderr}")
        incoming.rename(library)
    return library
