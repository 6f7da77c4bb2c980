"""The machine: which cores are whose, what a process has used, and what others use meanwhile."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


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
    """What so many events (or rows, or requests) took; `cpu_s` is user and system time of one process.

    others_cpu: the share of the machine that processes of others used meanwhile.
    """

    events: int
    wall_s: float
    cpu_s: float
    others_cpu: float = 0.0

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
        self._others = Others()
        self._cpu_s = cpu_s(pid)
        self._started = time.monotonic()

    def wall_s(self) -> float:
        """Seconds passed."""
        return time.monotonic() - self._started

    def cpu_s(self) -> float:
        """Seconds of CPU used, in all threads."""
        return cpu_s(self._pid) - self._cpu_s

    def others_cpu(self) -> float:
        """The share of the machine that others used."""
        return self._others.share()


class Others:
    """CPU that neither this process nor what it started has used, since the object was made; the hypervisor's too.

    ticks: of the machine in all, and of others, so far.
    """

    def __init__(self, ticks: Callable[[], tuple[int, int]] | None = None) -> None:
        self._ticks = ticks or machine_ticks
        self._before = self._ticks()

    def share(self) -> float:
        """0 to 1, of all cores."""
        total, others = (now - then for now, then in zip(self._ticks(), self._before, strict=True))
        return min(1.0, max(0.0, others / total)) if total > 0 else 0.0


def machine_ticks() -> tuple[int, int]:
    """Since the machine's start: ticks of all its cores, and those of processes that are not this run's.

    Stolen time is others'. A child that has ended is in its parent's account once it was waited for, a zombie in its
    own. Interrupts are nobody's: they serve both.
    """
    user, nice, system, idle, iowait, irq, softirq, steal = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    total = user + nice + system + idle + iowait + irq + softirq + steal
    return total, user + nice + system + steal - own_ticks()


def own_ticks() -> int:
    """User and system time of this process, of its living descendants, and of those that have ended."""
    parents: dict[int, int] = {}
    used: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
        pid = int(path.parent.name)
        parents[pid] = int(fields[1])
        used[pid] = sum(map(int, fields[11:15]))
    own = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in own} - own:
        own |= more
    return sum(used.get(pid, 0) for pid in own)


def cpu_s(pid: int) -> float:
    """User and system seconds of a process, threads that have ended included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def rss_mb(pid: int) -> float:
    """Resident memory of a process, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))


def free_memory_mb() -> float:
    """What processes could have now without swapping, in MiB."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("MemAvailable:"))


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
