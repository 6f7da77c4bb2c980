"""The roll-ups in ClickHouse: what is asked of them (`rollup_queries`), and how a day is replaced.

A partition is a day. It is filled in a table beside, and `REPLACE PARTITION` puts it in place of the old one at once: a
reader sees the one or the other, and who is killed in between leaves the old one, and a table that the next one drops.
"""

import re
import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from sinks.clickhouse.client import Client
from sinks.clickhouse.rollup_queries import (
    DAILY,
    DAYS_OF_HOURS,
    DIFFERING_DAYS,
    DIFFERING_HOURS,
    EMPTIED_DAYS,
    EMPTIED_HOURS,
    HOUR,
    HOURLY,
    HOURS_OF_EVENTS,
    NEWEST,
    OF_DAILY,
    OF_HOURLY,
    VALUES,
    WRONG_DAYS,
    WRONG_HOURS,
)
from sinks.errors import ReadFailedError
from sinks.rollups.buckets import DAY_S, Bucket, Emptied, day_of

_ROWS_A_QUESTION: Final = 50_000_000
_WINDOW_DAYS_MAX: Final = 31
_SCRATCH: Final = "_rollup_"
_SCRATCH_PATTERN: Final = f"^{_SCRATCH}[0-9a-f]{{32}}$"
_LEFTOVER_S: Final = 6 * 3_600
_ATTEMPTS: Final = 5
_CLOSED: Final = re.compile(r"\[closed before (\d{4}-\d\d-\d\d)\]")
_ALL_SETTLED_S: Final = 2**32 - 1
# A day of many different pages goes to disk, past this much memory.
_FILLING: Final = {"max_bytes_before_external_group_by": 2**30}


class ClickHouseRollups:
    """Compares and replaces. Who finds the day replaced by another while filling starts again with what stands now."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def span(self) -> tuple[date, date] | None:
        """The first and the last day that have an event or a bucket."""
        rows = self._client.execute(
            "SELECT min(first), max(last) FROM ("
            "SELECT toInt64(toUnixTimestamp64Milli(min(timestamp)) / 1000) AS first, "
            "toInt64(toUnixTimestamp64Milli(max(timestamp)) / 1000) AS last FROM events HAVING count() > 0 UNION ALL "
            "SELECT toInt64(toUnixTimestamp(min(hour))), toInt64(toUnixTimestamp(max(hour))) FROM events_hourly "
            "HAVING count() > 0) HAVING count() > 0"
        )
        return (day_of(rows[0][0]), day_of(rows[0][1])) if rows else None

    def open_from(self) -> date | None:
        """The first day whose events cannot have expired yet, nor ever could; None: there is no such limit.

        Two days more than the table's own TTL says, and not before what is remembered.
        """
        # Imported late, as its driver is.
        from schemas.apply.table_shape import ttl_days

        rows = self._client.execute(
            "SELECT engine_full, toUnixTimestamp(now()) FROM system.tables "
            "WHERE database = currentDatabase() AND name = 'events'"
        )
        ((engine, now_s),) = rows
        try:
            days = ttl_days(engine)
        except ValueError as error:
            raise ReadFailedError(f"table events: {error}") from None
        limits = [] if days is None else [day_of(now_s - int(days) * DAY_S) + timedelta(days=2)]
        remembered = _CLOSED.search(self._comment())
        return max([*limits, *([] if remembered is None else [date.fromisoformat(remembered[1])])], default=None)

    def keep_closed(self, opened: date) -> None:
        """Remember that days before this one are closed: in the comment of events_hourly, beside what else it says."""
        comment = self._comment()
        remembered = _CLOSED.search(comment)
        if remembered is not None and date.fromisoformat(remembered[1]) >= opened:
            return
        text = " ".join(filter(None, (_CLOSED.sub("", comment).strip(), f"[closed before {opened}]")))
        self._client.execute("ALTER TABLE events_hourly MODIFY COMMENT %(text)s", {"text": text})

    def _comment(self) -> str:
        ((comment,),) = self._client.execute(
            "SELECT comment FROM system.tables WHERE database = currentDatabase() AND name = 'events_hourly'"
        )
        return str(comment)

    def window_days(self) -> int:
        """Of how many days the events may be compared with one question: fifty million events, a month at most."""
        if (span := self.span()) is None:
            return _WINDOW_DAYS_MAX
        ((rows,),) = self._client.execute("SELECT count() FROM events")
        a_day = rows / ((span[1] - span[0]).days + 1)
        return max(1, min(_WINDOW_DAYS_MAX, int(_ROWS_A_QUESTION / max(1.0, a_day))))

    def differing(self, first: date, last: date) -> list[Bucket]:
        """Buckets that have events, others than those the hourly roll-up was made of; the newest BUCKETS_MAX."""
        return self._buckets(DIFFERING_HOURS, _span(first, last))

    def differing_days(self, first: date, last: date) -> list[date]:
        """The days of a span of which the daily roll-up is not made of what the hourly one has; the newest first."""
        return [day_of(midnight) for (midnight,) in self._client.execute(DIFFERING_DAYS, _span(first, last))]

    def emptied(self, first: date, last: date) -> list[Emptied]:
        """The days of a span with buckets that have no event any more (of the daily one: no hour), the newest first."""
        found: dict[int, Emptied] = {}
        for query in (EMPTIED_DAYS, EMPTIED_HOURS):
            for midnight, buckets, rolled_up in self._client.execute(query, _span(first, last)):
                found[midnight] = Emptied(day_of(midnight), buckets, rolled_up)
        return [found[midnight] for midnight in sorted(found, reverse=True)]

    def replace_hours(self, day: date, starts: Sequence[int] | None) -> None:
        """Compute hours of a day from the events, and put the whole day in place of the old one at once.

        What has no event any more stays. None: all hours, and what has no event goes.
        """
        insert = f"INSERT INTO {{table}} ({HOURLY}, {VALUES})"
        if starts is None:
            self._replace("events_hourly", day, _span(day, day), f"{insert} {HOURS_OF_EVENTS} GROUP BY {HOURLY}")
            return
        span = _span(day, day) | {"hours": sorted(set(starts))}
        anew = f"{insert} {HOURS_OF_EVENTS} AND toUnixTimestamp({HOUR}) IN %(hours)s GROUP BY {HOURLY}"
        # What was not computed just now is as it was: other hours, and buckets that have no event any more.
        as_it_was = (
            f"{insert} SELECT {HOURLY}, {VALUES} {OF_HOURLY} "
            "AND (tenant_id, project_id, hour) NOT IN (SELECT tenant_id, project_id, hour FROM {table})"
        )
        self._replace("events_hourly", day, span, anew, as_it_was)

    def replace_day(self, day: date, remove_empty: bool = False) -> None:
        """Compute a day of the daily roll-up from the hourly one, and put it in place of the old one at once.

        What has no hour any more stays, unless it is to be removed.
        """
        insert = f"INSERT INTO {{table}} ({DAILY}, {VALUES})"
        as_it_was = (
            f"{insert} SELECT {DAILY}, {VALUES} {OF_DAILY} "
            "AND (tenant_id, project_id, day) NOT IN (SELECT tenant_id, project_id, day FROM {table})"
        )
        fills = [f"{insert} {DAYS_OF_HOURS}"] if remove_empty else [f"{insert} {DAYS_OF_HOURS}", as_it_was]
        self._replace("events_daily", day, _span(day, day), *fills)

    def wrong_hours(self, day: date, settled_before: int | None = None) -> list[Bucket]:
        """Buckets with events in which anything of the hourly roll-up is not what the events give; BUCKETS_MAX at most.

        settled_before: s since 1970; a bucket with an event that was processed later is left out.
        """
        settled = _ALL_SETTLED_S if settled_before is None else settled_before
        return self._buckets(WRONG_HOURS + NEWEST, _span(day, day) | {"settled": settled})

    def wrong_days(self, day: date) -> list[Bucket]:
        """The same for the daily roll-up against the hourly one; counts are those of the roll-ups."""
        return self._buckets(WRONG_DAYS + NEWEST, _span(day, day))

    def drop_leftovers(self, older_s: int = _LEFTOVER_S) -> None:
        """Drop what a process that was killed left behind so long ago; none fills a day for hours."""
        rows = self._client.execute(
            "SELECT name FROM system.tables WHERE database = currentDatabase() AND match(name, %(pattern)s) "
            "AND metadata_modification_time <= now() - %(age)s",
            {"pattern": _SCRATCH_PATTERN, "age": older_s},
        )
        for (name,) in rows:
            self._client.execute(f"DROP TABLE IF EXISTS `{name}` SYNC")

    def _buckets(self, query: str, span: dict[str, Any]) -> list[Bucket]:
        return [Bucket(*row) for row in self._client.execute(query, span)]

    def _replace(self, target: str, day: date, span: dict[str, Any], *fills: str) -> None:
        """Fill a table beside, and put it in place of the target's day; once more if that was replaced meanwhile.

        What is copied from the day may be older than what another process (`rebuild`) has just put there.
        """
        for _ in range(_ATTEMPTS):
            if self._replaced(target, day, span, fills):
                return
        raise ReadFailedError(f"table {target}: {day} is being replaced by others all the time; try again later")

    def _replaced(self, target: str, day: date, span: dict[str, Any], fills: Sequence[str]) -> bool:
        ((partition_key, sorting_key, policy),) = self._client.execute(
            "SELECT partition_key, sorting_key, storage_policy FROM system.tables "
            "WHERE database = currentDatabase() AND name = %(name)s",
            {"name": target},
        )
        before = self._parts(target, day)
        table = f"{_SCRATCH}{uuid.uuid4().hex}"
        # The target's columns, an operator's too, whatever its engine: beside a replicated table a plain one will do.
        self._client.execute(
            f"CREATE TABLE {table} AS {target} ENGINE = MergeTree PARTITION BY {partition_key} "
            f"ORDER BY ({sorting_key}) SETTINGS storage_policy = '{policy}'"
        )
        try:
            for fill in fills:
                self._client.execute(fill.replace("{table}", table), span, settings=_FILLING)
            ((rows,),) = self._client.execute(f"SELECT count() FROM {table}")
            if self._parts(target, day) != before:
                return False
            partition = f"PARTITION ID '{day:%Y%m%d}'"
            # Nothing cannot be put in place of something.
            change = f"REPLACE {partition} FROM {table}" if rows else f"DROP {partition}"
            self._client.execute(f"ALTER TABLE {target} {change}")
        finally:
            self._client.execute(f"DROP TABLE IF EXISTS {table} SYNC")
        return True

    def _parts(self, target: str, day: date) -> list[tuple[Any, ...]]:
        return self._client.execute(
            "SELECT name FROM system.parts WHERE database = currentDatabase() AND table = %(name)s AND active "
            "AND partition_id = %(id)s ORDER BY name",
            {"name": target, "id": f"{day:%Y%m%d}"},
        )


def _span(first: date, last: date) -> dict[str, Any]:
    begin = int(datetime(first.year, first.month, first.day, tzinfo=UTC).timestamp())
    return {"from": begin, "to": begin + ((last - first).days + 1) * DAY_S}
