"""What the roll-ups are made of: buckets of one project and one hour, and how they are asked for. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple, Protocol

DAY_S = 86_400


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


class RollupTables(Protocol):
    """The roll-ups and the events beneath them, in the database. Days are UTC, and spans have both ends in them.

    Every question raises ReadFailedError when the database is away or refuses.
    """

    def span(self) -> tuple[date, date] | None:
        """The first and the last day that have an event or a bucket; None: there is none."""

    def open_from(self) -> date | None:
        """The first day whose events cannot have expired yet; None: events never expire."""

    def window_days(self) -> int:
        """Of how many days the events may be compared with one question."""

    def differing(self, first: date, last: date) -> list[Bucket]:
        """The hours of a span in which the events are others than those the hourly roll-up was made of."""

    def differing_days(self, first: date, last: date) -> list[date]:
        """The days of a span of which the daily roll-up is not made of the hourly one."""

    def month_has_events(self, day: date) -> bool:
        """Whether any event of the month that the day is part of is there."""

    def replace_hours(self, day: date, starts: Sequence[int] | None) -> None:
        """Compute hours of a day from the events (None: all), and put the whole day in place of the old one at once."""

    def replace_day(self, day: date) -> None:
        """Compute a day of the daily roll-up from the hourly one, and put it in place of the old one at once."""

    def wrong_hours(self, day: date) -> list[Bucket]:
        """The hours of a day in which anything of the hourly roll-up is not what the events give."""

    def wrong_days(self, day: date) -> list[Bucket]:
        """The same for the daily roll-up against the hourly one; counts are those of the roll-ups."""

    def drop_leftovers(self) -> None:
        """Drop what a process that was killed left behind."""


def day_of(moment_s: float) -> date:
    """The day (UTC) of a moment, s since 1970."""
    return datetime.fromtimestamp(moment_s, UTC).date()


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
