"""What ClickHouse itself uses and does: CPU by merges and by the rest, parts made, rows merged, bytes on disk."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tests.bench.lines import require
from tests.bench.machine import TICKS_PER_S, cpu_s

_MERGING: Final = "MergeMutate"  # the name of the threads that merge; they live as long as the server
_QUIET_S: Final = 3.0  # merges are looked for again and again, and at most after a few seconds
_POLL_S: Final = 0.1
_TIMEOUT_S: Final = 120.0
_COUNTED: Final = ("InsertedCompactParts", "InsertedWideParts", "Merge", "MergedRows", "InsertQuery")
Ask = Callable[[str], str]  # a query → its answer as tab-separated text


class DatabaseMeter:
    """Since it was made. Of the whole server: whatever else is written or asked meanwhile counts too."""

    def __init__(self, pid: int, ask: Ask) -> None:
        self._pid = pid
        self._ask = ask
        self._before = self._now()

    def figures(self, rows: int) -> dict[str, float]:
        """Microseconds of CPU a row, in all and of merges; parts made by INSERTs; merges; rows merged for each row."""
        used = {name: now - self._before[name] for name, now in self._now().items()}
        return spent(used, rows)

    def _now(self) -> dict[str, float]:
        names = ", ".join(f"'{name}'" for name in _COUNTED)
        answer = self._ask(f"SELECT event, value FROM system.events WHERE event IN ({names})")
        counted = dict.fromkeys(_COUNTED, 0.0)
        counted |= {name: float(value) for name, value in (line.split("\t") for line in answer.splitlines())}
        return counted | {"cpu_s": cpu_s(self._pid), "merging_s": thread_cpu_s(self._pid, _MERGING)}


def spent(used: Mapping[str, float], rows: int) -> dict[str, float]:
    """Figures of so many rows from what was used and counted for them."""
    return {
        "database_us": used["cpu_s"] / rows * 1e6,
        "merging_us": used["merging_s"] / rows * 1e6,
        "parts": used["InsertedCompactParts"] + used["InsertedWideParts"],
        "inserts": used["InsertQuery"],
        "merges": used["Merge"],
        "merged_rows": used["MergedRows"] / rows,
    }


def thread_cpu_s(pid: int, name: str) -> float:
    """User and system seconds of a process's living threads of this name."""
    ticks = 0
    for folder in Path(f"/proc/{pid}/task").iterdir():
        try:
            found, _, fields = (folder / "stat").read_text().partition("(")[2].rpartition(")")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
        if found == name:
            ticks += sum(map(int, fields.split()[11:13]))
    return ticks / TICKS_PER_S


def wait_merged(ask: Ask) -> None:
    """Return once no merge has begun or run for a while. Raises WrongOutputError when there is no end to them."""
    give_up_at = time.monotonic() + _TIMEOUT_S
    begun, since = "", time.monotonic()
    while time.monotonic() - since < _QUIET_S:
        require(time.monotonic() < give_up_at, f"ClickHouse still merges after {_TIMEOUT_S:.0f} s")
        time.sleep(_POLL_S)
        running, now = ask(
            "SELECT (SELECT count() FROM system.merges), sum(value) FROM system.events WHERE event = 'Merge'"
        ).split("\t")
        if running != "0" or now != begun:
            begun, since = now, time.monotonic()


def bytes_per_row(ask: Ask, table: str) -> dict[str, float]:
    """Bytes on disk of a table's active parts for each row, in all and of projections; how many parts these are."""
    answer = ask(
        "SELECT sum(rows), sum(bytes_on_disk), count() FROM system.parts "
        f"WHERE active AND database = currentDatabase() AND table = '{table}'"
    )
    rows, size, parts = map(int, answer.split())
    projections = int(
        ask(
            "SELECT sum(bytes_on_disk) FROM system.projection_parts "
            f"WHERE active AND database = currentDatabase() AND table = '{table}'"
        )
    )
    return {"bytes": size / rows, "projection_bytes": projections / rows, "active_parts": parts}
