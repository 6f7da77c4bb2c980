"""The events table as a measured run sees it: filled by somebody else, watched, checked, emptied."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from schemas.apply.tables import clickhouse, statement
from schemas.settings import Settings
from tests.bench.broker import POLL_S
from tests.bench.lines import require, require_equal

_TIMEOUT_S = 300.0
TABLE = "events"


Step = tuple[float, int]  # when, by time.monotonic, so many rows were seen for the first time


@dataclass(frozen=True, slots=True)
class Filled:
    """How fast a table was filled: so many rows in such a time."""

    rows: int
    wall_s: float

    @property
    def per_s(self) -> float:
        """Rows a second."""
        return self.rows / self.wall_s


def between_blocks(began: float, steps: Sequence[Step]) -> Filled:
    """The rate from the first block seen to the last but one.

    What came before the first is a start, and the last block is smaller and waits for its age: neither is a rate, and
    whoever writes the larger blocks would be charged more for them. With fewer than three blocks it is all of it.
    """
    if len(steps) < 3:
        when, rows = steps[-1]
        return Filled(rows, when - began)
    (first_at, first), (last_at, last) = steps[0], steps[-2]
    return Filled(last - first, last_at - first_at)


class EventsTable:
    """The table in the settings' database."""

    def __init__(self, settings: Settings) -> None:
        self._client = clickhouse(settings)

    def ask(self, query: str) -> list[tuple[object, ...]]:
        """The rows of an answer."""
        answer: list[tuple[object, ...]] = self._client.execute(query)
        return answer

    def count(self) -> int:
        """Its rows, from the metadata: costs the server next to nothing."""
        return int(str(self.ask(f"SELECT count() FROM {TABLE}")[0][0]))

    @contextmanager
    def emptied(self) -> Iterator[None]:
        """A table without rows, parts or merges under way, and again afterwards."""
        self._recreate()
        yield
        self._recreate()

    def watch(self, total: int, is_alive: Callable[[], bool]) -> Filled:
        """Wait until it has `total` rows. Raises WrongOutputError when that does not happen."""
        began = time.monotonic()
        steps: list[Step] = []
        while not steps or steps[-1][1] < total:
            count, now = self.count(), time.monotonic()
            if count > (steps[-1][1] if steps else 0):
                steps.append((now, count))
            require(is_alive() or count >= total, f"whoever fills {TABLE} has ended at {count:,} rows")
            require(now < began + _TIMEOUT_S, f"{TABLE} has {count:,} rows, should have {total:,}")
            time.sleep(POLL_S)
        return between_blocks(began, steps)

    def verify(self, total: int) -> None:
        """Each source offset of each partition once, and as many as there should be. Raises WrongOutputError."""
        (found,) = self.ask(f"SELECT count(), uniqExact(source_partition, source_offset) FROM {TABLE}")
        require_equal("rows, and distinct ones", found, (total, total))

    def columns(self) -> str:
        """Names and types, as CREATE TABLE takes them."""
        rows = self.ask(
            "SELECT name, type FROM system.columns "
            f"WHERE database = currentDatabase() AND table = '{TABLE}' ORDER BY position"
        )
        return ", ".join(f"`{name}` {kind}" for name, kind in rows)

    def _recreate(self) -> None:
        self.ask(f"DROP TABLE IF EXISTS {TABLE} SYNC")
        self.ask(statement(TABLE))
