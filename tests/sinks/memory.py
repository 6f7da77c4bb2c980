"""A table in memory that behaves as ClickHouse does: it passes the same tests, and can be told to fail."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from sinks import watermark
from sinks.batch import Bad, Rows
from sinks.writer import RowsRefusedError, SinkError, WriteFailedError


@dataclass
class MemoryTable:
    """What outlives a writer: rows and tokens."""

    rows: list[bytes] = field(default_factory=list)
    sources: list[tuple[int, int]] = field(default_factory=list)  # partition, source
    tokens: set[str] = field(default_factory=set)


class MemoryWriter:
    """A Writer. `refuses` says which values are bad data for the reader, `forbids` which for the table.

    `troubles` are raised by the next calls of insert, one each; after the rows were stored if `stored` is set.
    """

    def __init__(
        self,
        table: MemoryTable,
        refuses: Callable[[bytes], bool] = lambda _value: False,
        forbids: Callable[[bytes], bool] = lambda _value: False,
        names_rows: bool = True,
        partition_of: Callable[[bytes], int] = lambda _value: 0,
    ) -> None:
        self.table = table
        self.troubles: list[tuple[SinkError, bool]] = []
        self.inserts: list[tuple[str, list[bytes]]] = []
        self.trials = 0
        self._refuses = refuses
        self._forbids = forbids
        self._names_rows = names_rows
        self._partition_of = partition_of

    def verify(self) -> None:
        """It is always fit."""

    def insert(self, rows: Rows, token: str) -> None:
        self.inserts.append((token, list(rows.values)))
        self._read(rows)
        if any(map(self._forbids, rows.values)):
            raise RowsRefusedError("a constraint is violated", 469)
        trouble, stored = self.troubles.pop(0) if self.troubles else (None, True)
        if stored and token not in self.table.tokens:
            self.table.tokens.add(token)
            self.table.rows += rows.values
            partitions = map(self._partition_of, rows.values)
            self.table.sources += zip(partitions, rows.sources.tolist(), strict=False)
        if trouble is not None:
            raise trouble

    def trial(self) -> Callable[[Rows], None]:
        def attempt(rows: Rows) -> None:
            self.trials += 1
            self._read(rows)

        return attempt

    def present(self, partition: int, rows: Rows) -> set[int]:
        # As ClickHouse is asked: by the ends of the range, in the generation of the first.
        first, last = int(rows.sources[0]), int(rows.sources[-1])
        generation = watermark.generation_of(first)
        last = watermark.pack(generation, watermark.offset_of(last))
        return {source for found, source in self.table.sources if found == partition and first <= source <= last}

    def close(self) -> None:
        """There is no connection."""

    def _read(self, rows: Rows) -> None:
        for index, value in enumerate(rows.values):
            if self._refuses(value):
                raise RowsRefusedError("cannot parse", 376, index if self._names_rows else None)


class MemoryGraveyard:
    """Keeps what is buried; fails as often as `failures` says."""

    def __init__(self, failures: int = 0) -> None:
        self.buried: list[tuple[int, Bad]] = []
        self._failures = failures

    def bury(self, partition: int, bad: Iterable[Bad]) -> None:
        if self._failures:
            self._failures -= 1
            raise WriteFailedError("Kafka is away")
        self.buried += [(partition, record) for record in bad]
