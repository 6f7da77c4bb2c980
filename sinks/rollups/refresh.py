"""Make the roll-ups equal to the events again, wherever they differ.

Nothing is added up as events come, so nothing is added twice or missed: a bucket that differs is computed anew from
the events that stand, and its day replaced at once. Whatever made it differ (a late event, an erased one, a process
that was killed in the middle of this) is mended by the next look, and a look at what is equal changes nothing.

Buckets outlive their events. A day whose events may have begun to expire is never looked at again, also when they are
to be kept for longer from now on: what has expired does not come back. A bucket that has no event any more is kept:
whether a partition was dropped or somebody erased cannot be told. A command removes it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from sinks.rollups.buckets import BUCKETS_MAX, Bucket, RollupTables, by_day, day_of, hours_of, windows

_DAY = timedelta(days=1)


@dataclass(slots=True)
class Refreshed:
    """What a refresh did. complete: whether it came to the end of its span before it was told to stop."""

    buckets: int = 0
    days: int = 0
    complete: bool = True


class Refresher:
    """`clock`: s, monotonic."""

    def __init__(self, tables: RollupTables, clock: Callable[[], float]) -> None:
        self.tables = tables
        self._clock = clock
        self._opened: date | None = None  # as it was last remembered
        self._found: dict[int, float] = {}  # start of an hour that differs: when it was first found to

    @property
    def oldest_s(self) -> float:
        """For how long the oldest hour that differs has been known to; 0: none does."""
        return self._clock() - min(self._found.values()) if self._found else 0.0

    def refresh(self, first: date, last: date, stop: Callable[[], bool] = lambda: False) -> Refreshed:
        """Make the open days of a span equal, the newest first, until `stop` says so after one of them."""
        done = Refreshed()
        opened = self.tables.open_from()
        if opened is not None and opened != self._opened:
            self.tables.keep_closed(opened)
            self._opened = opened
        begin_at = first if opened is None else max(first, opened)
        for begin, end in windows(begin_at, last, self.tables.window_days()):
            done.complete = self._window(begin, end, stop, done) and (begin == begin_at or not stop())
            if not done.complete:
                break
        return done

    def _window(self, first: date, last: date, stop: Callable[[], bool], done: Refreshed) -> bool:
        """Whether the whole window was made equal; at least one day of it was, if any differed."""
        begin, end, number = first, last, 0
        while begin <= end:
            dirty = self.tables.differing(begin, end)
            # An answer that is full may have cut its last day: that one is computed whole.
            cut = dirty[-1].day if len(dirty) >= BUCKETS_MAX else None
            self._note(cut or begin, end, dirty)
            for day, buckets in by_day(dirty):
                if number and stop():
                    return False
                number += 1
                starts = {bucket.start for bucket in buckets}
                self.tables.replace_hours(day, hours_of(day) if day == cut else sorted(starts))
                self.tables.replace_day(day)
                for start in starts:
                    self._found.pop(start, None)
                done.buckets += len(buckets)
                done.days += 1
            end = begin - _DAY if cut is None else cut - _DAY
        for day in self.tables.differing_days(first, last):
            self.tables.replace_day(day)
            done.days += 1
        return True

    def _note(self, first: date, last: date, dirty: list[Bucket]) -> None:
        now = self._clock()
        elsewhere = {start: since for start, since in self._found.items() if not first <= day_of(start) <= last}
        self._found = elsewhere | {bucket.start: self._found.get(bucket.start, now) for bucket in dirty}
