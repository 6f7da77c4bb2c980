"""A table in memory that behaves as ClickHouse does: it passes the same tests, and can be told to fail."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from sinks.batching import watermark
from sinks.batching.batch import BadRecord, Rows
from sinks.errors import RowsRefusedError, SinkError, TopicStoppedError, ViewFailedError, WriteFailedError
from sinks.write.writer import JUST_NOW, Place, Position, Standing, Version


@dataclass
class MemoryView:
    """A view that copies rows into a target; `fails` says of which it cannot. `window`: the target knows tokens.

    Once it was `altered` in place, the target knows none of those that came by it before.
    """

    name: str = "view"
    window: bool = True
    altered: str = ""
    fails: Callable[[bytes], bool] = lambda _value: False
    rows: list[bytes] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)

    def take(self, rows: Rows, token: str) -> None:
        """Raises ViewFailedError."""
        if any(map(self.fails, rows.values)):
            raise ViewFailedError(f"cannot parse: while pushing to view {self.name}", 6, self.name)
        if not (self.window and token + self.altered in self.tokens):
            self.tokens.add(token + self.altered)
            self.rows += rows.values


@dataclass
class MemoryTable:
    """What outlives a writer: rows, tokens, views. `seen`: how many rows a server shows that lags; else None."""

    rows: list[bytes] = field(default_factory=list)
    sources: list[tuple[int, int]] = field(default_factory=list)  # partition, source
    tokens: set[str] = field(default_factory=set)
    views: list[MemoryView] = field(default_factory=list)
    seen: int | None = None
    questions: int | None = None
    forgotten: int = 0

    def forget_tokens(self) -> None:
        """So many other INSERTs came that it knows none of these any more; and so it is in the views."""
        self.tokens.clear()
        self.forgotten += 1
        for view in self.views:
            view.tokens.clear()

    def lag(self, questions: int | None = None) -> None:
        """From now on what is written is acknowledged and not shown where it is asked for; until so many questions."""
        self.seen, self.questions = len(self.sources), questions

    def asked(self) -> None:
        """One question less until it has caught up."""
        if self.questions is not None and self.seen is not None:
            self.questions -= 1
            if self.questions < 0:
                self.catch_up()

    def catch_up(self) -> None:
        """All is shown."""
        self.seen = None


class MemoryWriter:
    """A Writer. `refuses` says which values are bad data for the reader, `forbids` which for the table.

    `troubles` are raised by the next calls of insert, one each; after the rows were stored if `stored` is set.
    With `credulous` it answers for a lagging server as that server does, instead of waiting for it.
    """

    def __init__(
        self,
        table: MemoryTable,
        refuses: Callable[[bytes], bool] = lambda _value: False,
        forbids: Callable[[bytes], bool] = lambda _value: False,
        names_rows: bool = True,
        partition_of: Callable[[bytes], int] = lambda _value: 0,
        credulous: bool = False,
    ) -> None:
        self.table = table
        self.troubles: list[tuple[SinkError, bool]] = []
        self.inserts: list[tuple[str, list[bytes]]] = []
        self.trials = 0
        self.asked = 0
        self.drifted = ""
        self.drift_refuses: Callable[[bytes], bool] = lambda _value: False
        self.looks = 0
        self._refuses = refuses
        self._forbids = forbids
        self._names_rows = names_rows
        self._partition_of = partition_of
        self._credulous = credulous

    def verify(self) -> None:
        """It is always fit."""

    def insert(self, rows: Rows, token: str, despite_views: bool = False) -> None:
        self.inserts.append((token, list(rows.values)))
        self._read(rows)
        if self._unfit(rows):
            raise RowsRefusedError("cannot parse as what it was changed to", 376, 0)
        if any(map(self._forbids, rows.values)):
            raise RowsRefusedError("a constraint is violated", 469)
        trouble, stored = self.troubles.pop(0) if self.troubles else (None, True)
        if stored:
            self._store(rows, token)
            self._fill_views(rows, token, despite_views)
        if trouble is not None:
            raise trouble

    def trial(self) -> Callable[[Rows], None]:
        def attempt(rows: Rows) -> None:
            self.trials += 1
            self._read(rows)

        return attempt

    def present(self, partition: int, rows: Rows) -> set[int]:
        self.asked += 1
        self.table.asked()
        if self.table.seen is not None and not self._credulous:
            raise WriteFailedError("the replica lags behind", 159)
        # As ClickHouse is asked: by the ends of the range, in the generation of the first.
        first, last = int(rows.sources[0]), int(rows.sources[-1])
        generation = watermark.generation_of(first)
        last = watermark.pack(generation, watermark.offset_of(last))
        shown = self.table.sources[: self.table.seen]
        return {source for found, source in shown if found == partition and first <= source <= last}

    def standing(self, partition: int, rows: Rows, position: Position | None = None) -> Standing:
        del partition, rows
        names = {view.name: Version(str(id(view)), view.altered) for view in self.table.views}
        deaf = [view.name for view in self.table.views if not view.window]
        obstacle = f"{deaf[0]} has no deduplication window" if deaf else None
        # Tokens are forgotten all at once here; what was inserted before that is not to be sent again.
        place = {"forgotten": Place("", self.table.forgotten)}
        if names and obstacle is None and position not in (JUST_NOW, place):
            obstacle = "the token may be forgotten" if position or self.table.forgotten else None
        return Standing(names, obstacle, place, ["INSERT INTO view SELECT * FROM table"])

    def drift(self) -> str:
        self.looks += 1
        return self.drifted

    def check_types(self, rows: Rows) -> None:
        if self._unfit(rows):
            raise TopicStoppedError("type_changed", self.drifted, self.drifted)

    def close(self) -> None:
        """There is no connection."""

    def _unfit(self, rows: Rows) -> bool:
        return bool(self.drifted) and any(map(self.drift_refuses, rows.values))

    def _store(self, rows: Rows, token: str) -> None:
        if token not in self.table.tokens:
            self.table.tokens.add(token)
            self.table.rows += rows.values
            partitions = map(self._partition_of, rows.values)
            self.table.sources += zip(partitions, rows.sources.tolist(), strict=False)

    def _fill_views(self, rows: Rows, token: str, despite_views: bool) -> None:
        failure: ViewFailedError | None = None
        for view in self.table.views:
            try:
                view.take(rows, token)
            except ViewFailedError as error:
                failure = error
        if failure is not None and not despite_views:
            raise failure

    def _read(self, rows: Rows) -> None:
        for index, value in enumerate(rows.values):
            if self._refuses(value):
                raise RowsRefusedError("cannot parse", 376, index if self._names_rows else None)


class MemoryDeadLetters:
    """Keeps what is published; fails as often as `failures` says."""

    def __init__(self, failures: int = 0) -> None:
        self.published: list[tuple[int, BadRecord]] = []
        self._failures = failures

    def publish(self, partition: int, bad: Iterable[BadRecord]) -> None:
        if self._failures:
            self._failures -= 1
            raise WriteFailedError("Kafka is away")
        self.published += [(partition, record) for record in bad]


class MemoryReport:
    """What Delivery and Healing tell."""

    def __init__(self) -> None:
        self.up: list[bool] = []
        self.stops: list[TopicStoppedError] = []
        self.failing: list[str] = []
        self.lacking = 0
        self.given_up = 0

    def database(self, up: bool) -> None:
        self.up.append(up)

    def stopped(self, error: TopicStoppedError | None) -> None:
        self.stops += [] if error is None else [error]

    def view_failed(self, view: str) -> None:
        self.failing.append(view)

    def views_lack(self, rows: int) -> None:
        self.lacking = rows

    def views_given_up(self, rows: int) -> None:
        self.given_up += rows
