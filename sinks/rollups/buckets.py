"""What the roll-ups are made of: buckets of one project and one hour, and how they are asked for. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple, Protocol

HOUR_S = 3_600
DAY_S = 86_400
BUCKETS_MAX = 10_000  # of one answer: what is held in memory


class Bucket(NamedTuple):
    """A bucket in which the roll-up and the events differ. start: s since 1970; events, rolled_up: how many each."""

    tenant_id: str
    project_id: str
    start: int
    events: int
    rolled_up: int

    @property
    def day(self) -> date:
        """The day (UTC) that it is part of."""
        return day_of(self.start)

    def __str__(self) -> str:
        hour = datetime.fromtimestamp(self.start, UTC).strftime("%Y-%m-%d %H:%M")
        numbers = f"{self.events} events, {self.rolled_up} in the roll-up"
        return f"project {self.project_id}, {hour} UTC: {numbers}" + (
            "" if self.events != self.rolled_up else ", others"
        )


class Emptied(NamedTuple):
    """A day's buckets that have no event any more. rolled_up: the events that the roll-ups count in them."""

    day: date
    buckets: int
    rolled_up: int

    def __str__(self) -> str:
        return f"{self.day}: {self.buckets} buckets of {self.rolled_up} events that are not there any more"


class RollupTables(Protocol):
    """The roll-ups and the events beneath them, in the database. Days are UTC, and spans have both ends in them.

    Every question raises ReadFailedError when the database is away or refuses.
    """

    def span(self) -> tuple[date, date] | None:
        """The first and the last day that have an event or a bucket; None: there is none."""

    def open_from(self) -> date | None:
        """The first day whose events cannot have expired yet, nor ever could; None: there is no such limit."""

    def keep_closed(self, opened: date) -> None:
        """Remember that days before this one are closed, whatever the events' retention becomes."""

    def window_days(self) -> int:
        """Of how many days the events may be compared with one question."""

    def differing(self, first: date, last: date) -> list[Bucket]:
        """Buckets that have events, others than those the hourly roll-up was made of; the newest BUCKETS_MAX."""

    def differing_days(self, first: date, last: date) -> list[date]:
        """The days of a span of which the daily roll-up is not made of what the hourly one has; the newest first."""

    def emptied(self, first: date, last: date) -> list[Emptied]:
        """The days of a span with buckets that have no event any more (of the daily one: no hour), the newest first."""

    def replace_hours(self, day: date, starts: Sequence[int] | None) -> None:
        """Compute hours of a day from the events, and put the whole day in place of the old one at once.

        What has no event any more stays. None: all hours, and what has no event goes.
        """

    def replace_day(self, day: date, remove_empty: bool = False) -> None:
        """Compute a day of the daily roll-up from the hourly one, and put it in place of the old one at once.

        What has no hour any more stays, unless it is to be removed.
        """

    def wrong_hours(self, day: date, settled_before: int | None = None) -> list[Bucket]:
        """Buckets with events in which anything of the hourly roll-up is not what the events give; BUCKETS_MAX at most.

        settled_before: s since 1970; a bucket with an event that was processed later is left out.
        """

    def wrong_days(self, day: date) -> list[Bucket]:
        """The same for the daily roll-up against the hourly one; counts are those of the roll-ups."""

    def drop_leftovers(self) -> None:
        """Drop what a process that was killed left behind."""


def day_of(moment_s: float) -> date:
    """The day (UTC) of a moment, s since 1970."""
    return datetime.fromtimestamp(moment_s, UTC).date()


def hours_of(day: date) -> list[int]:
    """The starts of all hours of a day, s since 1970."""
    midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    return list(range(midnight, midnight + DAY_S, HOUR_S))


def days_of(first: date, last: date) -> Iterator[date]:
    """All days of a span, the newest first: that is what people look at."""
    return (last - timedelta(days=back) for back in range((last - first).days + 1))


def windows(first: date, last: date, days: int) -> Iterator[tuple[date, date]]:
    """A span cut into windows of at most so many days, the newest first."""
    while first <= last:
        begin = max(first, last - timedelta(days=days - 1))
        yield begin, last
        last = begin - timedelta(days=1)


def by_day(buckets: Iterable[Bucket]) -> list[tuple[date, list[Bucket]]]:
    """The buckets of each day, the newest first."""
    days: dict[date, list[Bucket]] = {}
    for bucket in buckets:
        days.setdefault(bucket.day, []).append(bucket)
    return sorted(days.items(), reverse=True)
