"""The roll-ups in ClickHouse: SQL, and how a day is replaced.

A partition is a day. It is filled in a table beside, and `REPLACE PARTITION` puts it in place of the old one at once: a
reader sees the one or the other, and who is killed in between leaves the old one, and a table that the next one drops.
"""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from sinks.clickhouse.client import Client
from sinks.errors import ReadFailedError
from sinks.rollups.buckets import DAY_S, Bucket, day_of

_DIMENSIONS: Final = "event_name, event_type, page_path, source, country_code, device_type, is_bot"
# What events one bucket was made of. Both sums are taken modulo 2^32, so they add up over buckets.
_CHECKSUM: Final = "toUInt32(sum(cityHash64(source_generation, source_partition, source_offset)))"
_CAMPAIGN: Final = "if(position(context, '\"campaign\"') > 0, JSONExtractString(context, 'campaign', 'source'), '')"
_UTM: Final = "decodeURLFormComponent(extractURLParameter(page_url, 'utm_source'))"
_SOURCE: Final = (
    f"multiIf({_CAMPAIGN} != '', {_CAMPAIGN}, {_UTM} != '', {_UTM}, "
    "domain(page_referrer) != domain(page_url), domainWithoutWWW(page_referrer), '')"
)
_OF_DAY: Final = "timestamp >= toDateTime(%(from)s, 'UTC') AND timestamp < toDateTime(%(to)s, 'UTC')"
_HOUR: Final = "toStartOfHour(timestamp, 'UTC')"
_HOURLY: Final = f"tenant_id, project_id, hour, {_DIMENSIONS}"
_DAILY: Final = f"tenant_id, project_id, day, {_DIMENSIONS}"
_VALUES: Final = "events, visitors, sessions, checksum"
_HOURS_OF_EVENTS: Final = (
    f"SELECT tenant_id, project_id, {_HOUR} AS hour, event_name, event_type, page_path, {_SOURCE} AS source, "
    "country_code, device_type, is_bot, count() AS events, "
    "uniqCombinedState(if(anonymous_id = '', ifNull(user_id, ''), anonymous_id)) AS visitors, "
    f"uniqCombinedState(session_id) AS sessions, {_CHECKSUM} AS checksum FROM events WHERE {_OF_DAY}"
)
_DAYS_OF_HOURS: Final = (
    f"SELECT tenant_id, project_id, toDate(hour) AS day, {_DIMENSIONS}, sum(r.events) AS events, "
    "uniqCombinedMergeState(r.visitors) AS visitors, uniqCombinedMergeState(r.sessions) AS sessions, "
    "toUInt32(sum(r.checksum)) AS checksum FROM events_hourly AS r "
    f"WHERE hour >= toDateTime(%(from)s, 'UTC') AND hour < toDateTime(%(to)s, 'UTC') GROUP BY {_DAILY}"
)
_OF_HOURLY: Final = (
    "FROM events_hourly AS r WHERE hour >= toDateTime(%(from)s, 'UTC') AND hour < toDateTime(%(to)s, 'UTC')"
)
_OF_DAILY: Final = "FROM events_daily AS r WHERE day >= toDate(%(from)s, 'UTC') AND day < toDate(%(to)s, 'UTC')"
_COMPARED: Final = (
    "SELECT tenant_id, project_id, toUnixTimestamp(start), sumIf(events, side = 0), sumIf(events, side = 1) FROM ("
    "{true}, 0 AS side {of_true} GROUP BY tenant_id, project_id, start UNION ALL "
    "{kept}, 1 AS side {of_kept} GROUP BY tenant_id, project_id, start) GROUP BY tenant_id, project_id, start "
    "HAVING sumIf(events, side = 0) != sumIf(events, side = 1) "
    "OR sumIf(checksum, side = 0) != sumIf(checksum, side = 1) ORDER BY start, tenant_id, project_id"
)
_SUMS: Final = (
    "SELECT tenant_id, project_id, {start} AS start, sum(r.events) AS events, toUInt32(sum(r.checksum)) AS checksum"
)
# Each row of a roll-up with everything in it, as one number; sketches by what they say.
_CONTENTS: Final = (
    "SELECT tenant_id, project_id, {start} AS start, sum(r.events) AS events, sum(cityHash64("
    f"{_DIMENSIONS}, r.events, r.checksum, finalizeAggregation(visitors), finalizeAggregation(sessions))) AS checksum"
)
_DIFFERING_HOURS: Final = _COMPARED.format(
    true=f"SELECT tenant_id, project_id, {_HOUR} AS start, count() AS events, {_CHECKSUM} AS checksum",
    of_true=f"FROM events WHERE {_OF_DAY}",
    kept=_SUMS.format(start="hour"),
    of_kept=_OF_HOURLY,
)
_DIFFERING_DAYS: Final = _COMPARED.format(
    true=_SUMS.format(start="toDateTime(toDate(hour), 'UTC')"),
    of_true=_OF_HOURLY,
    kept=_SUMS.format(start="toDateTime(day, 'UTC')"),
    of_kept=_OF_DAILY,
)
_WRONG_HOURS: Final = _COMPARED.format(
    true=_CONTENTS.format(start="hour"),
    of_true=f"FROM ({_HOURS_OF_EVENTS} GROUP BY {_HOURLY}) AS r",
    kept=_CONTENTS.format(start="hour"),
    of_kept=_OF_HOURLY,
)
_WRONG_DAYS: Final = _COMPARED.format(
    true=_CONTENTS.format(start="toDateTime(day, 'UTC')"),
    of_true=f"FROM ({_DAYS_OF_HOURS}) AS r",
    kept=_CONTENTS.format(start="toDateTime(day, 'UTC')"),
    of_kept=_OF_DAILY,
)
_ROWS_A_QUESTION: Final = 50_000_000
_WINDOW_DAYS_MAX: Final = 31
_HOURS_NAMED_MAX: Final = 24
_SCRATCH: Final = "_rollup_"
_LEFTOVER_S: Final = 6 * 3_600
# A day of many different pages goes to disk, past this much memory.
_FILLING: Final = {"max_bytes_before_external_group_by": 2**30}


class ClickHouseRollups:
    """Compares and replaces. Two at once do no harm: what one undoes of the other differs, and is replaced again."""

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
        """The first day whose events cannot have expired yet: two days more than the table's own TTL says."""
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
        return None if days is None else day_of(now_s - int(days) * DAY_S) + timedelta(days=2)

    def window_days(self) -> int:
        """Of how many days the events may be compared with one question: fifty million events, a month at most."""
        if (span := self.span()) is None:
            return _WINDOW_DAYS_MAX
        ((rows,),) = self._client.execute("SELECT count() FROM events")
        a_day = rows / ((span[1] - span[0]).days + 1)
        return max(1, min(_WINDOW_DAYS_MAX, int(_ROWS_A_QUESTION / max(1.0, a_day))))

    def differing(self, first: date, last: date) -> list[Bucket]:
        """The hours of a span in which the events are others than those the hourly roll-up was made of."""
        return self._buckets(_DIFFERING_HOURS, first, last)

    def differing_days(self, first: date, last: date) -> list[date]:
        """The days of a span of which the daily roll-up is not made of the hourly one."""
        return sorted({bucket.day for bucket in self._buckets(_DIFFERING_DAYS, first, last)}, reverse=True)

    def month_has_events(self, day: date) -> bool:
        """Whether any event of the month that the day is part of is there."""
        first = day.replace(day=1)
        span = _span(first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1))
        return bool(self._client.execute(f"SELECT 1 FROM events WHERE {_OF_DAY} LIMIT 1", span))

    def replace_hours(self, day: date, starts: Sequence[int] | None) -> None:
        """Compute hours of a day from the events (None: all), and put the whole day in place of the old one at once."""
        hours = None if starts is None else sorted(set(starts))
        span: dict[str, Any] = _span(day, day) | {"hours": hours}
        insert = "INSERT INTO {table} (" + f"{_HOURLY}, {_VALUES})"
        which = "toUnixTimestamp({hour}) {word} %(hours)s"
        with self._replacing("events_hourly", day) as table:
            if hours is None or len(hours) >= _HOURS_NAMED_MAX:
                self._fill(f"{insert} {_HOURS_OF_EVENTS} GROUP BY {_HOURLY}", table, span)
                return
            others = which.format(hour="hour", word="NOT IN")
            anew = which.format(hour=_HOUR, word="IN")
            self._fill(f"{insert} SELECT {_HOURLY}, {_VALUES} {_OF_HOURLY} AND {others}", table, span)
            self._fill(f"{insert} {_HOURS_OF_EVENTS} AND {anew} GROUP BY {_HOURLY}", table, span)

    def replace_day(self, day: date) -> None:
        """Compute a day of the daily roll-up from the hourly one, and put it in place of the old one at once."""
        with self._replacing("events_daily", day) as table:
            self._fill(f"INSERT INTO {{table}} ({_DAILY}, {_VALUES}) {_DAYS_OF_HOURS}", table, _span(day, day))

    def wrong_hours(self, day: date) -> list[Bucket]:
        """The hours of a day in which anything of the hourly roll-up is not what the events give."""
        return self._buckets(_WRONG_HOURS, day, day)

    def wrong_days(self, day: date) -> list[Bucket]:
        """The same for the daily roll-up against the hourly one; counts are those of the roll-ups."""
        return self._buckets(_WRONG_DAYS, day, day)

    def drop_leftovers(self) -> None:
        """Drop what a process that was killed left behind; none fills a day for hours."""
        rows = self._client.execute(
            "SELECT name FROM system.tables WHERE database = currentDatabase() AND startsWith(name, %(scratch)s) "
            "AND metadata_modification_time < now() - %(age)s",
            {"scratch": _SCRATCH, "age": _LEFTOVER_S},
        )
        for (name,) in rows:
            self._client.execute(f"DROP TABLE IF EXISTS {name} SYNC")

    def _buckets(self, query: str, first: date, last: date) -> list[Bucket]:
        return [Bucket(*row) for row in self._client.execute(query, _span(first, last))]

    def _fill(self, statement: str, table: str, span: dict[str, Any]) -> None:
        self._client.execute(statement.replace("{table}", table, 1), span, settings=_FILLING)

    @contextmanager
    def _replacing(self, target: str, day: date) -> Iterator[str]:
        """A table beside, to be filled; what is in it then is the target's day."""
        ((partition_key, sorting_key, policy),) = self._client.execute(
            "SELECT partition_key, sorting_key, storage_policy FROM system.tables "
            "WHERE database = currentDatabase() AND name = %(name)s",
            {"name": target},
        )
        table = f"{_SCRATCH}{uuid.uuid4().hex}"
        # The target's columns, an operator's too, whatever its engine: beside a replicated table a plain one will do.
        self._client.execute(
            f"CREATE TABLE {table} AS {target} ENGINE = MergeTree PARTITION BY {partition_key} "
            f"ORDER BY ({sorting_key}) SETTINGS storage_policy = '{policy}'"
        )
        try:
            yield table
            ((rows,),) = self._client.execute(f"SELECT count() FROM {table}")
            partition = f"PARTITION ID '{day:%Y%m%d}'"
            # Nothing cannot be put in place of something.
            change = f"REPLACE {partition} FROM {table}" if rows else f"DROP {partition}"
            self._client.execute(f"ALTER TABLE {target} {change}")
        finally:
            self._client.execute(f"DROP TABLE IF EXISTS {table} SYNC")


def _span(first: date, last: date) -> dict[str, Any]:
    begin = int(datetime(first.year, first.month, first.day, tzinfo=UTC).timestamp())
    return {"from": begin, "to": begin + ((last - first).days + 1) * DAY_S}
