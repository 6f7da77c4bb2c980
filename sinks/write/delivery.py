"""One batch into the table: exactly once, whatever was there before and whatever the database answers.

"Refused" is not "nothing written": a view that fails leaves the rows in the table. So after any refusal the table is
asked what stands before another token is used.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Final, Protocol

import structlog

from schemas.outcomes import DeadReason
from sinks.batching.batch import BadRecord, Batch, Rows
from sinks.batching.latest_version import Versions, newest
from sinks.errors import RowsRefusedError, SinkError, TopicStoppedError, ViewFailedError, WriteFailedError
from sinks.failpoints import Failpoint, nothing
from sinks.routes import DEAD_LETTERS, Route
from sinks.write.bisect import refused_rows
from sinks.write.healing import Healing, ViewReport
from sinks.write.writer import Writer

log = structlog.get_logger()

_FIRST_PAUSE_S: Final = 0.1
_STOPPED_PAUSE_S_MAX: Final = 5.0  # until it is seen that somebody has acted


class AbandonedError(Exception):
    """The partition was taken away before its batch was known to be written. Its next owner does it again."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The batch is durable. `stored`: its rows in the table, by whoever; `superseded`: not sent, a newer one was."""

    stored: int
    superseded: int
    dead: Sequence[BadRecord]
    found: bool
    tries: int


class DeadLetterPublisher(Protocol):
    """Where bad records go."""

    def publish(self, partition: int, bad: Iterable[BadRecord]) -> None:
        """Returns when all are durable on dead_letters. Raises WriteFailedError."""


class DatabaseReport(Protocol):
    """What the metrics are told of the database."""

    def database(self, up: bool) -> None:
        """Whether the last batch was taken."""

    def stopped(self, error: TopicStoppedError | None) -> None:
        """Why nothing more is written until somebody acts; None when nothing is in the way."""


class DeliveryReport(DatabaseReport, ViewReport, Protocol):
    """What a Delivery and its Healing tell."""


class Delivery:
    """Writes the batches of one topic, one after another, on one thread.

    `trust_s`: how long after its plan a batch is certainly this owner's; an older one, as after a suspended process
    wakes up, is looked for in the table first.
    """

    def __init__(
        self,
        route: Route,
        writer: Writer,
        dead_letters: DeadLetterPublisher,
        healing: Healing,
        versions: Versions,
        pause_s_max: float,
        trust_s: float,
        clock: Callable[[], float],
        report: DatabaseReport,
        failpoint: Failpoint = nothing,
    ) -> None:
        self._route = route
        self._writer = writer
        self._dead_letters = dead_letters
        self._healing = healing
        self._versions = versions
        self._pause_s_max = pause_s_max
        self._trust_s = trust_s
        self._clock = clock
        self._report = report
        self._failpoint = failpoint
        self._published: set[int] = set()  # offsets of the batch under way

    def deliver(self, batch: Batch, planned_at: float, abandoned: Event) -> Receipt:
        """Try until it is done. Raises AbandonedError once `abandoned` is set."""
        rows = newest(batch.rows, self._versions) if self._route.version else batch.rows
        doubtful, tries = batch.doubtful, 1
        pause_s = min(_FIRST_PAUSE_S, self._pause_s_max)
        self._published = set()
        while not abandoned.is_set():
            try:
                late = self._clock() - planned_at > self._trust_s
                stored, dead, found = self._try(batch, rows, doubtful or late)
            except WriteFailedError as error:
                self._tell(error)
                log.warning("a batch waits", token=batch.token, tries=tries, pause_s=pause_s, error=str(error))
                doubtful, tries = True, tries + 1
                self._wait(error, pause_s, abandoned)
                pause_s = min(pause_s * 2, self._pause_s_max)
            else:
                self._tell(None)
                self._healing.attempt()
                return Receipt(stored, len(batch.rows) - len(rows), dead, found, tries)
        raise AbandonedError(batch.token)

    def idle(self) -> None:
        """Nothing is to be delivered at the moment."""
        self._healing.attempt()

    def close(self) -> None:
        """Nothing more will be delivered."""
        self._healing.close()

    def _wait(self, error: WriteFailedError, pause_s: float, abandoned: Event) -> None:
        """At most `pause_s`; shorter when somebody seems to have undone what stops the topic."""
        if not isinstance(error, TopicStoppedError):
            abandoned.wait(pause_s)
            return
        while pause_s > 0 and not abandoned.wait(min(pause_s, _STOPPED_PAUSE_S_MAX)) and self._is_as_it_was(error):
            pause_s -= _STOPPED_PAUSE_S_MAX

    def _is_as_it_was(self, error: TopicStoppedError) -> bool:
        """Whether the types are those that stop the topic: that costs one query. False where only a try can tell."""
        try:
            return error.drift != "" and self._writer.drift() == error.drift
        except WriteFailedError:
            return True

    def _tell(self, error: WriteFailedError | None) -> None:
        stopped = error if isinstance(error, TopicStoppedError) else None
        self._report.stopped(stopped)
        if stopped is None:
            self._report.database(error is None)
        else:
            log.error("nothing more is written until somebody acts", topic=self._route.topic, cause=stopped.cause)

    def _try(self, batch: Batch, rows: Rows, doubtful: bool) -> tuple[int, list[BadRecord], bool]:
        dead = list(batch.bad)
        self._publish(batch, dead)
        if not len(rows):
            return 0, dead, False
        check = doubtful and self._route.exactly_once
        missing = self._missing(batch, rows) if check else rows
        if not len(missing):
            self._found(batch, rows, batch.token)
            return len(rows), dead, True
        self._failpoint("before_insert")
        refused = self._store(batch, rows, missing)
        if check:
            self._store_swallowed(batch, rows, refused)
        try:
            self._failpoint("after_insert")
        except ConnectionError as error:
            raise WriteFailedError(str(error)) from None
        return len(rows) - len(refused), dead + refused, False

    def _missing(self, batch: Batch, rows: Rows) -> Rows:
        """Those of the rows that do not stand in the table: all, where it cannot tell."""
        if not self._route.exactly_once or not len(rows):
            return rows
        return rows.without(self._writer.present(batch.partition, rows))

    def _store(self, batch: Batch, rows: Rows, missing: Rows) -> list[BadRecord]:
        """Insert what is missing; the answer is what the database refused, by then dead letters."""
        try:
            self._insert(batch, missing, batch.token)
            return []
        except RowsRefusedError as error:
            log.warning("the database refuses rows of a batch", token=batch.token, error=str(error))
        missing = self._missing(batch, missing)
        refused = self._refused(missing)
        self._publish(batch, refused)
        offsets = {bad.offset for bad in refused}
        rest = missing.without_offsets(offsets)
        token = f"{batch.token}/without-{_digest(bad.offset for bad in refused)}"
        if not len(rest):
            if len(standing := rows.without_offsets(offsets)):
                self._found(batch, standing, token)
            return refused
        try:
            self._insert(batch, rest, token)
        except RowsRefusedError as error:
            # Each row can be read, and yet the table refuses them, as for a constraint. Then only it can say which.
            log.warning("the table refuses readable rows", token=batch.token, error=str(error))
            self._writer.check_types(rest)
            refused += self._store_by_parts(batch, self._missing(batch, rest))
        return refused

    def _insert(self, batch: Batch, rows: Rows, token: str) -> None:
        """Returns when the rows stand, also if a view fails of them. Raises RowsRefusedError when they do not all."""
        try:
            self._writer.insert(rows, token)
            return
        except ViewFailedError as error:
            view, text = error.view, str(error)
            if len(missing := self._missing(batch, rows)):
                self._writer.insert(missing, token, despite_views=True)
        except RowsRefusedError as error:
            view, text = "", str(error)
            if not self._route.exactly_once or len(self._missing(batch, rows)):
                raise
        self._healing.failed(batch.partition, rows, token, view, text)

    def _found(self, batch: Batch, rows: Rows, token: str) -> None:
        """The rows stand, perhaps of an INSERT that was cut off on its way to the views."""
        if batch.repeatable and self._route.exactly_once:
            self._healing.found(batch.partition, rows, token)

    def _refused(self, rows: Rows) -> list[BadRecord]:
        """The rows that cannot be read, each tried alone; not those that only changed types refuse."""
        attempt = self._writer.trial()
        tried = refused_rows(len(rows), lambda start, stop: attempt(rows.part(start, stop)))
        refused = [_bad(rows, index, error) for index, error in tried]
        self._keep_from_feeding_itself(refused)
        return refused

    def _keep_from_feeding_itself(self, refused: Sequence[BadRecord]) -> None:
        """A dead letter of a refused dead letter would be refused as well, and so on without an end."""
        if refused and self._route.topic == DEAD_LETTERS:
            detail = f"the table refuses the dead letter at offset {refused[0].offset}: {refused[0].detail}"
            raise TopicStoppedError("dead_letter_refused", detail)

    def _store_by_parts(self, batch: Batch, rows: Rows) -> list[BadRecord]:
        def insert(start: int, stop: int) -> None:
            part = self._missing(batch, rows.part(start, stop))
            if len(part):
                self._insert(batch, part, f"{batch.token}/part-{_digest(part.offsets)}")

        refused = []
        for index, first in refused_rows(len(rows), insert, every=True):
            try:
                # The types may have been changed, and even changed back, since the look before: that sets no row aside.
                self._writer.check_types(rows.part(index, index + 1))
                insert(index, index + 1)
            except RowsRefusedError:
                refused.append(_bad(rows, index, first))
        self._keep_from_feeding_itself(refused)
        self._publish(batch, refused)
        return refused

    def _store_swallowed(self, batch: Batch, rows: Rows, refused: list[BadRecord]) -> None:
        """A token that stood for other rows swallows an insert in silence: whatever is not there yet goes in again."""
        missing = self._missing(batch, rows.without_offsets({bad.offset for bad in refused}))
        if len(missing):
            log.warning("rows were swallowed as repeats", token=batch.token, rows=len(missing))
            try:
                self._insert(batch, missing, f"{batch.token}/again-{_digest(missing.offsets)}")
            except RowsRefusedError as error:  # the table has changed since it read them
                raise WriteFailedError(error.detail, error.code) from None

    def _publish(self, batch: Batch, bad: Sequence[BadRecord]) -> None:
        """Once, however often the batch is tried."""
        new = [record for record in bad if record.offset not in self._published]
        if new:
            self._dead_letters.publish(batch.partition, new)
            self._published.update(record.offset for record in new)


def _bad(rows: Rows, index: int, error: SinkError) -> BadRecord:
    return BadRecord(rows.offsets[index], rows.values[index], rows.keys[index], DeadReason.ROW_REFUSED, str(error))


def _digest(offsets: Iterable[int]) -> str:
    return hashlib.blake2b(",".join(map(str, offsets)).encode(), digest_size=12).hexdigest()
