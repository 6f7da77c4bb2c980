"""The machine: which cores are whose, and what a process has used."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cores:
    """`own`: one core, for the process under measurement; `others`: servers and load. The same where there is one."""

    own: frozenset[int]
    others: frozenset[int]

    @classmethod
    def split(cls) -> Self:
        """The last core this process may use, and the rest."""
        every = sorted(os.sched_getaffinity(0))
        return cls(frozenset(every[-1:]), frozenset(every[:-1] or every))

    @property
    def every(self) -> frozenset[int]:
        """All cores."""
        return self.own | self.others


@dataclass(frozen=True, slots=True)
class Cost:
    """What so many events (or rows, or requests) took; `cpu_s` is user and system time of one process."""

    events: int
    wall_s: float
    cpu_s: float

    @property
    def per_s(self) -> float:
        """Events a second."""
        return self.events / self.wall_s

    @property
    def cpu_us(self) -> float:
        """Microseconds of CPU an event."""
        return self.cpu_s / self.events * 1e6


class Meter:
    """Wall and CPU time of a process since the meter was made."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._cpu_s = cpu_s(pid)
        self._started = time.monotonic()

    def wall_s(self) -> float:
        """Seconds passed."""
        return time.monotonic() - self._started

    def cpu_s(self) -> float:
        """Seconds of CPU used, in all threads."""
        return cpu_s(self._pid) - self._cpu_s


def cpu_s(pid: int) -> float:
    """User and system seconds of a process, threads that have ended included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def rss_mb(pid: int) -> float:
    """Resident memory of a process, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))


def pin(pid: int, cores: frozenset[int]) -> None:
    """Move a running process to these cores with all its threads; threads it starts later inherit that."""
    moved: set[int] = set()
    while new := {int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()} - moved:
        for thread in new:
            try:
                os.sched_setaffinity(thread, cores)
            except ProcessLookupError:
                continue  # it has ended meanwhile
        moved |= new


def on_cores(cores: frozenset[int]) -> list[str]:
    """The beginning of a command line that runs on these cores from its start."""
    return ["taskset", "--cpu-list", ",".join(map(str, sorted(cores)))]
