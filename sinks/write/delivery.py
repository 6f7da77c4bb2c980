"""The batches of one topic, one after another, each until it is in the table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Final, Protocol

import structlog

from sinks.batching.batch import BadRecord, Batch
from sinks.batching.latest_version import Versions, newest
from sinks.errors import TopicStoppedError, WriteFailedError
from sinks.write.attempts import Attempts, Way
from sinks.write.healing import ViewReport

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
        way: Way,
        versions: Versions,
        pause_s_max: float,
        trust_s: float,
        clock: Callable[[], float],
        report: DatabaseReport,
    ) -> None:
        self._way = way
        self._versions = versions
        self._pause_s_max = pause_s_max
        self._trust_s = trust_s
        self._clock = clock
        self._report = report

    def deliver(self, batch: Batch, planned_at: float, abandoned: Event) -> Receipt:
        """Try until it is done. Raises AbandonedError once `abandoned` is set."""
        rows = newest(batch.rows, self._versions) if self._way.route.version else batch.rows
        doubtful, tries = batch.doubtful, 1
        pause_s = min(_FIRST_PAUSE_S, self._pause_s_max)
        attempts = Attempts(self._way, batch, rows)
        while not abandoned.is_set():
            try:
                late = self._clock() - planned_at > self._trust_s
                stored, dead, found = attempts.attempt(doubtful or late)
            except WriteFailedError as error:
                self._tell(error)
                log.warning("a batch waits", token=batch.token, tries=tries, pause_s=pause_s, error=str(error))
                doubtful, tries = True, tries + 1
                self._wait(error, pause_s, abandoned)
                pause_s = min(pause_s * 2, self._pause_s_max)
            else:
                self._tell(None)
                self._way.healing.attempt()
                return Receipt(stored, len(batch.rows) - len(rows), dead, found, tries)
        raise AbandonedError(batch.token)

    def idle(self) -> None:
        """Nothing is to be delivered at the moment."""
        self._way.healing.attempt()

    def close(self) -> None:
        """Nothing more will be delivered."""
        self._way.healing.close()

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
            return error.drift != "" and self._way.writer.drift() == error.drift
        except WriteFailedError:
            return True

    def _tell(self, error: WriteFailedError | None) -> None:
        stopped = error if isinstance(error, TopicStoppedError) else None
        self._report.stopped(stopped)
        if stopped is None:
            self._report.database(error is None)
        else:
            log.error("nothing more is written until somebody acts", topic=self._way.route.topic, cause=stopped.cause)
