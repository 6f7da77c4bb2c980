"""Keeps the roll-ups fresh, on a thread and a connection of its own, beside the consumer loops and never in their way.

One process of the group does it: the owner of partition 0 of enriched_events, as for the ledger. Two at once, at a
rebalance, harm nothing: who finds a day replaced meanwhile computes it once more. Today (in its first hours yesterday
too) is looked at in each round; the days before, where late and erased events are, in turn, within a share of the
interval.
"""

from collections.abc import Callable
from datetime import date, timedelta
from threading import Event
from typing import Final

import structlog

from schemas.metrics import SinksMetrics
from sinks.rollups.buckets import RollupTables, day_of, windows
from sinks.rollups.refresh import Refreshed, Refresher
from sinks.rounds import keep_rounds, let_go

log = structlog.get_logger()

_SWEEP_SHARE: Final = 0.05  # of an interval, for the days before
_FRESH_S: Final = 2 * 3_600  # within this, most of the events come
_AHEAD_S: Final = 3_600  # an event's time may be so far ahead


class RollupMonitor:
    """`open_tables`: connected tables and how to let go of them. `is_mine`: whether this process is to do it."""

    def __init__(
        self,
        open_tables: Callable[[], tuple[RollupTables, Callable[[], None]]],
        is_mine: Callable[[], bool],
        metrics: SinksMetrics,
        interval_s: float,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
    ) -> None:
        self._open_tables = open_tables
        self._is_mine = is_mine
        self._metrics = metrics
        self._interval_s = interval_s
        self._clock = clock
        self._wall_clock = wall_clock
        self._refresher: Refresher | None = None
        self._close: Callable[[], None] | None = None
        self._swept_to: date | None = None  # the days before this one are next

    def run(self, stopping: Event) -> None:
        """Until `stopping` is set."""
        self._metrics.rollups_timestamp_seconds.set(self._wall_clock())
        keep_rounds(self.round, self._interval_s, stopping)
        self._disconnect()

    def round(self, stopping: Event) -> None:
        """Bring the roll-ups up to date, if they are ours. Raises nothing."""
        if not self._is_mine():
            self._metrics.rollups_timestamp_seconds.set(0)
            self._metrics.rollups_dirty_seconds.set(0)
            self._disconnect()
            self._refresher = None
            return
        try:
            self._refresh(stopping)
            self._metrics.rollups_timestamp_seconds.set(self._wall_clock())
        except Exception as error:  # whatever it is: the rows do not depend on it
            log.warning("the roll-ups are not up to date", error=f"{type(error).__name__}: {error}"[:300])
            self._disconnect()
        if self._refresher is not None:
            self._metrics.rollups_dirty_seconds.set(self._refresher.oldest_s)

    def _refresh(self, stopping: Event) -> None:
        if self._close is None:
            tables, self._close = self._open_tables()
            if self._refresher is None:
                self._refresher = Refresher(tables, self._clock)
            self._refresher.tables = tables
            tables.drop_leftovers()
        refresher = self._refresher
        assert refresher is not None
        today = day_of(self._wall_clock() + _AHEAD_S)
        recent = day_of(self._wall_clock() - _FRESH_S)
        self._count(refresher.refresh(recent, today, stopping.is_set))
        if (span := refresher.tables.span()) is not None:
            self._sweep(refresher, span[0], recent - timedelta(days=1), stopping)

    def _sweep(self, refresher: Refresher, first: date, last: date, stopping: Event) -> None:
        """The days up to `last`, from where the last round came to, at most once around."""
        give_up_at = self._clock() + self._interval_s * _SWEEP_SHARE

        def stop() -> bool:
            return stopping.is_set() or self._clock() >= give_up_at

        if self._swept_to is None or not first < self._swept_to <= last:
            self._swept_to = last + timedelta(days=1)
        opened = refresher.tables.open_from()
        first = first if opened is None else max(first, opened)
        for begin, end in windows(first, self._swept_to - timedelta(days=1), refresher.tables.window_days()):
            done = refresher.refresh(begin, end, stop)
            self._count(done)
            if not done.complete:
                return  # this window once more: what was replaced in it is equal then
            self._swept_to = begin
            if stop():
                return
        self._swept_to = None

    def _count(self, done: Refreshed) -> None:
        self._metrics.rollups_buckets_total.inc(done.buckets)

    def _disconnect(self) -> None:
        close, self._close = self._close, None
        if close is not None:
            let_go(close)
