"""What a topic's writing tells the metrics, and why a topic does not go on."""

from collections.abc import Iterable
from typing import Final

from schemas.metrics import SinksMetrics
from sinks.errors import TopicStoppedError

WRITING_CAUSES: Final = ("type_changed", "dead_letter_refused")


class Stops:
    """Why one topic does not go on until somebody acts; by cause, since two threads look at it."""

    def __init__(self, topic: str, metrics: SinksMetrics) -> None:
        self._topic = topic
        self._stopped = metrics.stopped
        self._details: dict[str, str] = {}

    def set(self, causes: Iterable[str], stopped: Iterable[TopicStoppedError]) -> None:
        """Of `causes`, only those of `stopped` hold now."""
        now = {error.cause: error.detail for error in stopped}
        for cause in causes:
            if cause in now:
                self._details[cause] = now[cause]
            else:
                self._details.pop(cause, None)
            self._stopped.labels(self._topic, cause).set(cause in now)

    @property
    def text(self) -> str | None:
        """For people; None when nothing is in the way."""
        return "; ".join(f"{cause}: {detail}" for cause, detail in self._details.items()) or None


class WritingReport:
    """The figures of one topic's writes: what Delivery and Healing tell."""

    def __init__(self, topic: str, metrics: SinksMetrics, stops: Stops) -> None:
        self._topic = topic
        self._metrics = metrics
        self._stops = stops
        # A series that begins with its first value hides it from rate().
        metrics.view_rows_given_up_total.labels(topic)
        metrics.view_lacking_rows.labels(topic)

    def database(self, up: bool) -> None:
        """Whether the last batch was taken."""
        self._metrics.database_up.labels(self._topic).set(up)

    def stopped(self, error: TopicStoppedError | None) -> None:
        """Why nothing more is written until somebody acts; None when nothing is in the way."""
        self._stops.set(WRITING_CAUSES, [] if error is None else [error])

    def view_failed(self, view: str) -> None:
        """An INSERT failed in a view."""
        self._metrics.view_failures_total.labels(self._topic, view or "unknown").inc()

    def views_lack(self, rows: int) -> None:
        """So many rows stand in the table, may be missing in a view, and will be sent again."""
        self._metrics.view_lacking_rows.labels(self._topic).set(rows)

    def views_given_up(self, rows: int) -> None:
        """So many rows may be missing in a view and are not sent again."""
        self._metrics.view_rows_given_up_total.labels(self._topic).inc(rows)
