"""The tries of one batch: exactly once into the table, whatever was there before and whatever the database answers.

"Refused" is not "nothing written": a view that fails leaves the rows in the table. So after any refusal the table is
asked what stands before another token is used.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from schemas.outcomes import DeadReason
from sinks.batching.batch import BadRecord, Batch, Rows
from sinks.errors import RowsRefusedError, SinkError, TopicStoppedError, ViewFailedError, WriteFailedError
from sinks.failpoints import Failpoint, nothing
from sinks.routes import DEAD_LETTERS, Route
from sinks.write.bisect import refused_rows
from sinks.write.healing import Healing
from sinks.write.writer import Writer

log = structlog.get_logger()


class DeadLetterPublisher(Protocol):
    """Where bad records go."""

    def publish(self, partition: int, bad: Iterable[BadRecord]) -> None:
        """Returns when all are durable on dead_letters. Raises WriteFailedError."""


@dataclass(frozen=True, slots=True)
class Way:
    """From a topic into its table."""

    route: Route
    writer: Writer
    dead_letters: DeadLetterPublisher
    healing: Healing
    failpoint: Failpoint = nothing


class Attempts:
    """The tries of one batch, of which `rows` are to be stored. One succeeds, and then there are no more."""

    def __init__(self, way: Way, batch: Batch, rows: Rows) -> None:
        self._way = way
        self._batch = batch
        self._rows = rows
        self._published: set[int] = set()  # offsets

    def attempt(self, doubtful: bool) -> tuple[int, list[BadRecord], bool]:
        """Rows stored, dead letters, and whether all was found there already. Raises WriteFailedError.

        `doubtful`: some of the rows may stand in the table.
        """
        batch, rows = self._batch, self._rows
        dead = list(batch.bad)
        self._publish(dead)
        if not len(rows):
            return 0, dead, False
        check = doubtful and self._way.route.exactly_once
        missing = self._missing(rows) if check else rows
        if not len(missing):
            self._found(rows, batch.token)
            return len(rows), dead, True
        self._way.failpoint("before_insert")
        refused = self._store(missing)
        if check:
            self._store_swallowed(refused)
        try:
            self._way.failpoint("after_insert")
        except ConnectionError as error:
            raise WriteFailedError(str(error)) from None
        return len(rows) - len(refused), dead + refused, False

    def _missing(self, rows: Rows) -> Rows:
        """Those of the rows that do not stand in the table: all, where it cannot tell."""
        if not self._way.route.exactly_once or not len(rows):
            return rows
        return rows.without(self._way.writer.present(self._batch.partition, rows))

    def _store(self, missing: Rows) -> list[BadRecord]:
        """Insert what is missing; the answer is what the database refused, by then dead letters."""
        batch = self._batch
        try:
            self._insert(missing, batch.token)
            return []
        except RowsRefusedError as error:
            log.warning("the database refuses rows of a batch", token=batch.token, error=str(error))
        missing = self._missing(missing)
        refused = self._refused(missing)
        self._publish(refused)
        offsets = {bad.offset for bad in refused}
        rest = missing.without_offsets(offsets)
        token = f"{batch.token}/without-{_digest(bad.offset for bad in refused)}"
        if not len(rest):
            if len(standing := self._rows.without_offsets(offsets)):
                self._found(standing, token)
            return refused
        try:
            self._insert(rest, token)
        except RowsRefusedError as error:
            # Each row can be read, and yet the table refuses them, as for a constraint. Then only it can say which.
            log.warning("the table refuses readable rows", token=batch.token, error=str(error))
            self._way.writer.check_types(rest)
            refused += self._store_by_parts(self._missing(rest))
        return refused

    def _insert(self, rows: Rows, token: str) -> None:
        """Returns when the rows stand, also if a view fails of them. Raises RowsRefusedError when they do not all."""
        try:
            self._way.writer.insert(rows, token)
            return
        except ViewFailedError as error:
            view, text = error.view, str(error)
            if len(missing := self._missing(rows)):
                self._way.writer.insert(missing, token, despite_views=True)
        except RowsRefusedError as error:
            view, text = "", str(error)
            if not self._way.route.exactly_once or len(self._missing(rows)):
                raise
        self._way.healing.failed(self._batch.partition, rows, token, view, text)

    def _found(self, rows: Rows, token: str) -> None:
        """The rows stand, perhaps of an INSERT that was cut off on its way to the views."""
        if self._batch.repeatable and self._way.route.exactly_once:
            self._way.healing.found(self._batch.partition, rows, token)

    def _refused(self, rows: Rows) -> list[BadRecord]:
        """The rows that cannot be read, each tried alone; not those that only changed types refuse."""
        attempt = self._way.writer.trial()
        tried = refused_rows(len(rows), lambda start, stop: attempt(rows.part(start, stop)))
        refused = [_bad(rows, index, error) for index, error in tried]
        self._keep_from_feeding_itself(refused)
        return refused

    def _keep_from_feeding_itself(self, refused: Sequence[BadRecord]) -> None:
        """A dead letter of a refused dead letter would be refused as well, and so on without an end."""
        if refused and self._way.route.topic == DEAD_LETTERS:
            detail = f"the table refuses the dead letter at offset {refused[0].offset}: {refused[0].detail}"
            raise TopicStoppedError("dead_letter_refused", detail)

    def _store_by_parts(self, rows: Rows) -> list[BadRecord]:
        def insert(start: int, stop: int) -> None:
            part = self._missing(rows.part(start, stop))
            if len(part):
                self._insert(part, f"{self._batch.token}/part-{_digest(part.offsets)}")

        refused = []
        for index, first in refused_rows(len(rows), insert, every=True):
            try:
                # The types may have been changed, and even changed back, since the look before: that sets no row aside.
                self._way.writer.check_types(rows.part(index, index + 1))
                insert(index, index + 1)
            except RowsRefusedError:
                refused.append(_bad(rows, index, first))
        self._keep_from_feeding_itself(refused)
        self._publish(refused)
        return refused

    def _store_swallowed(self, refused: list[BadRecord]) -> None:
        """A token that stood for other rows swallows an insert in silence: whatever is not there yet goes in again."""
        missing = self._missing(self._rows.without_offsets({bad.offset for bad in refused}))
        if len(missing):
            log.warning("rows were swallowed as repeats", token=self._batch.token, rows=len(missing))
            try:
                self._insert(missing, f"{self._batch.token}/again-{_digest(missing.offsets)}")
            except RowsRefusedError as error:  # the table has changed since it read them
                raise WriteFailedError(error.detail, error.code) from None

    def _publish(self, bad: Sequence[BadRecord]) -> None:
        """Once, however often the batch is tried."""
        new = [record for record in bad if record.offset not in self._published]
        if new:
            self._way.dead_letters.publish(self._batch.partition, new)
            self._published.update(record.offset for record in new)


def _bad(rows: Rows, index: int, error: SinkError) -> BadRecord:
    return BadRecord(rows.offsets[index], rows.values[index], rows.keys[index], DeadReason.ROW_REFUSED, str(error))


def _digest(offsets: Iterable[int]) -> str:
    return hashlib.blake2b(",".join(map(str, offsets)).encode(), digest_size=12).hexdigest()
