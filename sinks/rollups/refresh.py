"""Make the roll-ups equal to the events again, wherever they differ.

Nothing is added up as events come, so nothing is added twice or missed: a bucket that differs is computed anew from
the events that stand, and its day replaced at once. Whatever made it differ (a late event, an erased one, a process
that was killed in the middle of this) is mended by the next look, and a look at what is equal changes nothing.

Buckets outlive their events. A day whose events may have begun to expire is never looked at again, and a bucket that
would become empty is kept when its whole month has no events: a partition was dropped then, and nobody erased a person.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from sinks.rollups.buckets import Bucket, RollupTables, by_day, windows

Key = tuple[str, str, int]


@dataclass(slots=True)
class Refreshed:
    """What a refresh did. complete: whether it came to the end of its span before it was told to stop."""

    buckets: int = 0
    days: int = 0
    kept: int = 0
    complete: bool = True


class Refresher:
    """`clock`: s, monotonic."""

    def __init__(self, tables: RollupTables, clock: Callable[[], float]) -> None:
        self.tables = tables
        self._clock = clock
        self._found: dict[Key, float] = {}  # when a bucket was found to differ that still does

    @property
    def oldest_s(self) -> float:
        """For how long the oldest bucket that differs has been known to; 0: none does."""
        return self._clock() - min(self._found.values()) if self._found else 0.0

    def refresh(self, first: date, last: date, stop: Callable[[], bool] = lambda: False) -> Refreshed:
        """Make the open days of a span equal, the newest first, until `stop` says so after one of them."""
        done = Refreshed()
        opened = self.tables.open_from()
        begin_at = first if opened is None else max(first, opened)
        for begin, end in windows(begin_at, last, self.tables.window_days()):
            done.complete = self._window(begin, end, stop, done) and (begin == begin_at or not stop())
            if not done.complete:
                break
        return done

    def _window(self, first: date, last: date, stop: Callable[[], bool], done: Refreshed) -> bool:
        """Whether the whole window was made equal; at least one day of it was, if any differed."""
        differing = self.tables.differing(first, last)
        dirty = [bucket for bucket in differing if not self._outlives(bucket)]
        done.kept += len(differing) - len(dirty)
        self._note(first, last, dirty)
        for number, (day, buckets) in enumerate(by_day(dirty)):
            if number and stop():
                return False
            self.tables.replace_hours(day, [bucket.start for bucket in buckets])
            self.tables.replace_day(day)
            for bucket in buckets:
                self._found.pop(_key(bucket), None)
            done.buckets += len(buckets)
            done.days += 1
        for day in self.tables.differing_days(first, last):
            self.tables.replace_day(day)
            done.days += 1
        return True

    def _outlives(self, bucket: Bucket) -> bool:
        return bucket.events == 0 and not self.tables.month_has_events(bucket.day)

    def _note(self, first: date, last: date, dirty: list[Bucket]) -> None:
        now = self._clock()
        keys = {_key(bucket) for bucket in dirty}
        elsewhere = {key: since for key, since in self._found.items() if not first <= Bucket(*key, 0, 0).day <= last}
        self._found = elsewhere | {key: self._found.get(key, now) for key in keys}


def _key(bucket: Bucket) -> Key:
    return bucket.tenant_id, bucket.project_id, bucket.start
