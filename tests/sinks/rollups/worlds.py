"""Events and their roll-ups, in memory and in ClickHouse: what one suite is held against."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Protocol

from schemas.settings import Settings
from sinks.clickhouse.client import Client
from sinks.clickhouse.rollup_tables import ClickHouseRollups
from sinks.rollups.buckets import BUCKETS_MAX, DAY_S, HOUR_S, Bucket, Emptied, RollupTables, day_of

TODAY = datetime.now(UTC).date()
Key = tuple[str, int]


def at(days_ago: int, hour: int = 0) -> int:
    """A moment (s since 1970) of a day that is so long ago."""
    day = TODAY - timedelta(days=days_ago)
    return int(datetime(day.year, day.month, day.day, hour, 30, tzinfo=UTC).timestamp())


def ago(days: int) -> date:
    """The day that is so long ago."""
    return TODAY - timedelta(days=days)


class World(Protocol):
    """What a test does to the events, and to the roll-ups behind their back."""

    @property
    def tables(self) -> RollupTables:
        """The roll-ups."""

    def add(self, project: str, moment: int, sources: Iterable[int]) -> None:
        """One event for each source offset."""

    def erase(self, sources: Iterable[int]) -> None:
        """Delete these events."""

    def hourly(self) -> dict[Key, int]:
        """Events of the hourly roll-up by project and start of the hour."""

    def daily(self) -> dict[Key, int]:
        """The same of the daily one."""

    def double(self, table: str) -> None:
        """Every row of a roll-up twice."""


class MemoryRollups:
    """Buckets are the sources that they were made of."""

    def __init__(self, opened: date | None = None) -> None:
        self.opened = opened
        self.closed: list[date] = []
        self.events: dict[int, Key] = {}
        self.hours: dict[Key, Counter[int]] = {}
        self.days: dict[Key, Counter[int]] = {}
        self.asked: list[tuple[date, date]] = []
        self.replaced: list[date] = []
        self.failing = False
        self.buckets_max = BUCKETS_MAX

    @property
    def tables(self) -> RollupTables:
        """Itself."""
        return self

    def add(self, project: str, moment: int, sources: Iterable[int]) -> None:
        """One event for each source offset."""
        self.events.update(dict.fromkeys(sources, (project, moment)))

    def erase(self, sources: Iterable[int]) -> None:
        """Delete these events."""
        for source in sources:
            self.events.pop(source, None)

    def hourly(self) -> dict[Key, int]:
        """Events of the hourly roll-up by project and start of the hour."""
        return {key: sources.total() for key, sources in self.hours.items()}

    def daily(self) -> dict[Key, int]:
        """The same of the daily one."""
        return {key: sources.total() for key, sources in self.days.items()}

    def double(self, table: str) -> None:
        """Every row of a roll-up twice."""
        buckets = self.hours if table == "events_hourly" else self.days
        buckets.update({key: sources + sources for key, sources in buckets.items()})

    def span(self) -> tuple[date, date] | None:
        """The first and the last day that have an event or a bucket."""
        starts = [start for _, start in (*self.events.values(), *self.hours)]
        return (day_of(min(starts)), day_of(max(starts))) if starts else None

    def open_from(self) -> date | None:
        """As it was told."""
        return self.opened

    def keep_closed(self, opened: date) -> None:
        """For the test to see."""
        self.closed.append(opened)

    def window_days(self) -> int:
        """A week."""
        return 7

    def differing(self, first: date, last: date) -> list[Bucket]:
        """Buckets that have events, others than those of the roll-up; the newest."""
        if self.failing:
            raise OSError("away")
        self.asked.append((first, last))
        return self._differing(self._true_hours(), self.hours, first, last)[: self.buckets_max]

    def differing_days(self, first: date, last: date) -> list[date]:
        """The days of which the daily roll-up is not made of the hourly one."""
        return sorted(
            {bucket.day for bucket in self._differing(self._true_days(), self.days, first, last)}, reverse=True
        )

    def emptied(self, first: date, last: date) -> list[Emptied]:
        """The days with buckets that have no event any more."""
        days: dict[date, Emptied] = {}
        for true, kept in ((self._true_days(), self.days), (self._true_hours(), self.hours)):
            gone: dict[date, list[int]] = {}
            for key in kept.keys() - true.keys():
                if first <= day_of(key[1]) <= last:
                    gone.setdefault(day_of(key[1]), []).append(kept[key].total())
            days.update({day: Emptied(day, len(events), sum(events)) for day, events in gone.items()})
        return [days[day] for day in sorted(days, reverse=True)]

    def replace_hours(self, day: date, starts: Sequence[int] | None) -> None:
        """Compute hours of a day from the events."""
        true = self._true_hours()
        for key in [*self.hours, *true]:
            if day_of(key[1]) == day and (starts is None or (key[1] in starts and key in true)):
                self.hours.pop(key, None)
                if key in true:
                    self.hours[key] = true[key]
        self.replaced.append(day)

    def replace_day(self, day: date, remove_empty: bool = False) -> None:
        """Compute a day from the hours."""
        true = self._true_days()
        for key in [*self.days, *true]:
            if day_of(key[1]) == day and (remove_empty or key in true):
                self.days.pop(key, None)
                if key in true:
                    self.days[key] = true[key]

    def wrong_hours(self, day: date, settled_before: int | None = None) -> list[Bucket]:
        """Everything that there is here is the sources."""
        return self._differing(self._true_hours(), self.hours, day, day)

    def wrong_days(self, day: date) -> list[Bucket]:
        """The same."""
        return self._differing(self._true_days(), self.days, day, day)

    def drop_leftovers(self) -> None:
        """There are none."""

    def _true_hours(self) -> dict[Key, Counter[int]]:
        true: dict[Key, Counter[int]] = {}
        for source, (project, moment) in self.events.items():
            true.setdefault((project, moment // HOUR_S * HOUR_S), Counter())[source] += 1
        return true

    def _true_days(self) -> dict[Key, Counter[int]]:
        true: dict[Key, Counter[int]] = {}
        for (project, start), sources in self.hours.items():
            true.setdefault((project, start // DAY_S * DAY_S), Counter()).update(sources)
        return true

    @staticmethod
    def _differing(
        true: dict[Key, Counter[int]], kept: dict[Key, Counter[int]], first: date, last: date
    ) -> list[Bucket]:
        none = Counter[int]()
        return [
            Bucket("tenant", key[0], key[1], true.get(key, none).total(), kept.get(key, none).total())
            for key in sorted(true, key=lambda key: (-key[1], key[0]))
            if first <= day_of(key[1]) <= last and true.get(key, none) != kept.get(key, none)
        ]


class ClickHouseWorld:
    """Tables of a test's own database."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.client = Client(settings)
        self.tables = ClickHouseRollups(self.client)

    def add(self, project: str, moment: int, sources: Iterable[int]) -> None:
        """One event for each source offset; of three visitors, in as many sessions as there are sources."""
        for source in sources:
            self.client.execute(
                "INSERT INTO events (tenant_id, project_id, event_name, timestamp, anonymous_id, session_id, "
                "page_path, country_code, source_offset) SELECT 'tenant', %(project)s, 'Viewed', "
                "toDateTime64(%(moment)s, 3), concat('v', toString(%(source)s %% 3)), toString(%(source)s), "
                "'/', 'DE', %(source)s",
                {"project": project, "moment": moment, "source": source},
            )

    def erase(self, sources: Iterable[int]) -> None:
        """As a command that erases a person does."""
        self.client.execute("DELETE FROM events WHERE source_offset IN %(sources)s", {"sources": tuple(sources)})

    def hourly(self) -> dict[Key, int]:
        """Events of the hourly roll-up by project and start of the hour."""
        rows = self.client.execute(
            "SELECT project_id, toUnixTimestamp(hour), sum(events) FROM events_hourly GROUP BY project_id, hour"
        )
        return {(project, start): events for project, start, events in rows}

    def daily(self) -> dict[Key, int]:
        """The same of the daily one."""
        rows = self.client.execute(
            "SELECT project_id, toUnixTimestamp(toDateTime(day, 'UTC')), sum(events) FROM events_daily "
            "GROUP BY project_id, day"
        )
        return {(project, start): events for project, start, events in rows}

    def double(self, table: str) -> None:
        """Every row of a roll-up twice."""
        self.client.execute(f"INSERT INTO {table} SELECT * FROM {table}")
