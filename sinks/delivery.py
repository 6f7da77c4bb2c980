"""One batch into the table: exactly once, whatever was there before and whatever the database answers."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Protocol

import structlog

from schemas.outcomes import DeadReason
from sinks.batch import Bad, Batch, Rows
from sinks.failpoints import Failpoint, nothing
from sinks.poison import refused_rows
from sinks.routes import Route
from sinks.upserts import Versions, newest
from sinks.writer import RowsRefusedError, SinkError, WriteFailedError, Writer

log = structlog.get_logger()

_FIRST_PAUSE_S = 0.1


class AbandonedError(Exception):
    """The partition was taken away before its batch was known to be written. Its next owner does it again."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The batch is durable. `stored`: its rows in the table, by whoever; `superseded`: not sent, a newer one was."""

    stored: int
    superseded: int
    dead: Sequence[Bad]
    found: bool
    tries: int


class Graveyard(Protocol):
    """Where bad records go."""

    def bury(self, partition: int, bad: Iterable[Bad]) -> None:
        """Returns when all are durable on dead_letters. Raises WriteFailedError."""


class Delivery:
    """Writes the batches of one topic, one after another, on one thread.

    `trust_s`: how long after its plan a batch is this owner's for certain; an older one, as after a suspended process
    wakes up, is looked for in the table first. `on_database` is told after each call whether it succeeded.
    """

    def __init__(
        self,
        route: Route,
        writer: Writer,
        graveyard: Graveyard,
        versions: Versions,
        pause_s_max: float,
        trust_s: float,
        clock: Callable[[], float],
        on_database: Callable[[bool], None],
        failpoint: Failpoint = nothing,
    ) -> None:
        self._route = route
        self._writer = writer
        self._graveyard = graveyard
        self._versions = versions
        self._pause_s_max = pause_s_max
        self._trust_s = trust_s
        self._clock = clock
        self._on_database = on_database
        self._failpoint = failpoint

    def deliver(self, batch: Batch, planned_at: float, abandoned: Event) -> Receipt:
        """Try until it is done. Raises AbandonedError once `abandoned` is set."""
        rows = newest(batch.rows, self._versions) if self._route.version else batch.rows
        doubtful, tries = batch.doubtful, 1
        pause_s = min(_FIRST_PAUSE_S, self._pause_s_max)
        while not abandoned.is_set():
            try:
                late = self._clock() - planned_at > self._trust_s
                stored, dead, found = self._try(batch, rows, doubtful or late)
            except WriteFailedError as error:
                self._on_database(False)
                log.warning("a batch waits", token=batch.token, tries=tries, pause_s=pause_s, error=str(error))
                doubtful, tries = True, tries + 1
                abandoned.wait(pause_s)
                pause_s = min(pause_s * 2, self._pause_s_max)
            else:
                self._on_database(True)
                return Receipt(stored, len(batch.rows) - len(rows), dead, found, tries)
        raise AbandonedError(batch.token)

    def _try(self, batch: Batch, rows: Rows, doubtful: bool) -> tuple[int, list[Bad], bool]:
        dead = list(batch.bad)
        if dead:
            self._graveyard.bury(batch.partition, dead)
        if not len(rows):
            return 0, dead, False
        check = doubtful and self._route.exactly_once
        present = self._writer.present(batch.partition, rows) if check else set()
        missing = _without(rows, present)
        if not len(missing):
            return len(rows), dead, True
        self._failpoint("before_insert")
        refused = self._store(batch, rows, present)
        if check:
            self._store_swallowed(batch, rows, refused)
        try:
            self._failpoint("after_insert")
        except ConnectionError as error:
            raise WriteFailedError(str(error)) from None
        return len(rows) - len(refused), dead + refused, False

    def _store(self, batch: Batch, rows: Rows, present: set[int]) -> list[Bad]:
        """Insert what is not present; the answer is what the database refused, by then dead letters."""
        missing = _without(rows, present)
        try:
            self._writer.insert(missing, batch.token)
            return []
        except RowsRefusedError as error:
            log.warning("the database refuses rows of a batch", token=batch.token, error=str(error))
        attempt = self._writer.trial()
        refused = [
            _refused(missing, index, error)
            for index, error in refused_rows(len(missing), lambda start, stop: attempt(missing.part(start, stop)))
        ]
        self._graveyard.bury(batch.partition, refused)
        rest = _without_offsets(missing, {bad.offset for bad in refused})
        if not len(rest):
            return refused
        try:
            self._writer.insert(rest, f"{batch.token}/without-{_digest(bad.offset for bad in refused)}")
        except RowsRefusedError as error:
            # Each row can be read, and yet the table refuses them: a constraint, a view. Then only it can say which.
            log.warning("the table refuses readable rows", token=batch.token, error=str(error))
            refused += self._store_by_parts(batch, rest)
        return refused

    def _store_by_parts(self, batch: Batch, rows: Rows) -> list[Bad]:
        def insert(start: int, stop: int) -> None:
            part = rows.part(start, stop)
            self._writer.insert(part, f"{batch.token}/part-{_digest(part.offsets)}")

        refused = [_refused(rows, index, error) for index, error in refused_rows(len(rows), insert, every=True)]
        self._graveyard.bury(batch.partition, refused)
        return refused

    def _store_swallowed(self, batch: Batch, rows: Rows, refused: list[Bad]) -> None:
        """A token that stood for other rows swallows an insert in silence: whatever is not there yet goes in anew."""
        rows = _without_offsets(rows, {bad.offset for bad in refused})
        missing = _without(rows, self._writer.present(batch.partition, rows)) if len(rows) else rows
        if len(missing):
            log.warning("rows were swallowed as repeats", token=batch.token, rows=len(missing))
            self._writer.insert(missing, f"{batch.token}/again-{_digest(missing.offsets)}")


def _refused(rows: Rows, index: int, error: SinkError) -> Bad:
    return Bad(rows.offsets[index], rows.values[index], rows.keys[index], DeadReason.ROW_REFUSED, str(error))


def _without(rows: Rows, present: set[int]) -> Rows:
    """The rows whose source is not among `present`."""
    if not present:
        return rows
    return rows.pick([index for index, source in enumerate(rows.sources.tolist()) if source not in present])


def _without_offsets(rows: Rows, offsets: set[int]) -> Rows:
    if not offsets:
        return rows
    return rows.pick([index for index, offset in enumerate(rows.offsets) if offset not in offsets])


def _digest(offsets: Iterable[int]) -> str:
    return hashlib.blake2b(",".join(map(str, offsets)).encode(), digest_size=12).hexdigest()
