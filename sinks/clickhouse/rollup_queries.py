"""SQL of the roll-ups: what buckets are made of, and how they are compared with what is beneath them. Only texts.

A span is %(from)s to %(to)s, s since 1970, the end not in it. A comparison gives Bucket's columns.
"""

from typing import Final

from sinks.rollups.buckets import BUCKETS_MAX

_DIMENSIONS: Final = "event_name, event_type, page_path, source, country_code, device_type, is_bot"
# What events one bucket was made of. Both sums are taken modulo 2^32, so they add up over buckets.
_CHECKSUM: Final = "toUInt32(sum(cityHash64(source_generation, source_partition, source_offset)))"
_CAMPAIGN: Final = "if(position(context, '\"campaign\"') > 0, JSONExtractString(context, 'campaign', 'source'), '')"
_UTM: Final = "decodeURLFormComponent(extractURLParameter(page_url, 'utm_source'))"
_REFERRER: Final = "domainWithoutWWW(lower(page_referrer))"
_SOURCE: Final = (
    f"multiIf({_CAMPAIGN} != '', {_CAMPAIGN}, {_UTM} != '', {_UTM}, "
    f"{_REFERRER} != domainWithoutWWW(lower(page_url)), {_REFERRER}, '')"
)
_OF_DAY: Final = "timestamp >= toDateTime(%(from)s, 'UTC') AND timestamp < toDateTime(%(to)s, 'UTC')"
HOUR: Final = "toStartOfHour(timestamp, 'UTC')"
HOURLY: Final = f"tenant_id, project_id, hour, {_DIMENSIONS}"
DAILY: Final = f"tenant_id, project_id, day, {_DIMENSIONS}"
VALUES: Final = "events, visitors, sessions, checksum"
HOURS_OF_EVENTS: Final = (
    f"SELECT tenant_id, project_id, {HOUR} AS hour, event_name, event_type, page_path, {_SOURCE} AS source, "
    "country_code, device_type, is_bot, count() AS events, "
    "uniqCombinedState(if(anonymous_id = '', ifNull(user_id, ''), anonymous_id)) AS visitors, "
    f"uniqCombinedState(session_id) AS sessions, {_CHECKSUM} AS checksum FROM events WHERE {_OF_DAY}"
)
DAYS_OF_HOURS: Final = (
    f"SELECT tenant_id, project_id, toDate(hour) AS day, {_DIMENSIONS}, sum(r.events) AS events, "
    "uniqCombinedMergeState(r.visitors) AS visitors, uniqCombinedMergeState(r.sessions) AS sessions, "
    "toUInt32(sum(r.checksum)) AS checksum FROM events_hourly AS r "
    f"WHERE hour >= toDateTime(%(from)s, 'UTC') AND hour < toDateTime(%(to)s, 'UTC') GROUP BY {DAILY}"
)
OF_HOURLY: Final = (
    "FROM events_hourly AS r WHERE hour >= toDateTime(%(from)s, 'UTC') AND hour < toDateTime(%(to)s, 'UTC')"
)
OF_DAILY: Final = "FROM events_daily AS r WHERE day >= toDate(%(from)s, 'UTC') AND day < toDate(%(to)s, 'UTC')"
_COMPARED: Final = (
    "SELECT tenant_id, project_id, toUnixTimestamp(start) AS began, "
    "sumIf(events, side = 0) AS standing, sumIf(events, side = 1) AS rolled_up FROM ("
    "{true}, 0 AS side {of_true} GROUP BY tenant_id, project_id, start UNION ALL "
    "{kept}, 1 AS side {of_kept} GROUP BY tenant_id, project_id, start) GROUP BY tenant_id, project_id, start "
    "HAVING {having}"
)
_DIFFERS: Final = "(standing != rolled_up OR sumIf(checksum, side = 0) != sumIf(checksum, side = 1))"
NEWEST: Final = f" ORDER BY start DESC, tenant_id, project_id LIMIT {BUCKETS_MAX}"
_SUMS: Final = (
    "SELECT tenant_id, project_id, {start} AS start, sum(r.events) AS events, toUInt32(sum(r.checksum)) AS checksum"
)
# Each row of a roll-up with everything in it, as one number; sketches by what they say.
_CONTENTS: Final = (
    "SELECT tenant_id, project_id, {start} AS start, sum(r.events) AS events, sum(cityHash64("
    f"{_DIMENSIONS}, r.events, r.checksum, finalizeAggregation(visitors), finalizeAggregation(sessions))) AS checksum"
)
_HOURS: Final = _COMPARED.format(
    true=f"SELECT tenant_id, project_id, {HOUR} AS start, count() AS events, {_CHECKSUM} AS checksum",
    of_true=f"FROM events WHERE {_OF_DAY}",
    kept=_SUMS.format(start="hour"),
    of_kept=OF_HOURLY,
    having="{having}",
)
_DAYS: Final = _COMPARED.format(
    true=_SUMS.format(start="toDateTime(toDate(hour), 'UTC')"),
    of_true=OF_HOURLY,
    kept=_SUMS.format(start="toDateTime(day, 'UTC')"),
    of_kept=OF_DAILY,
    having="{having}",
)
DIFFERING_HOURS: Final = _HOURS.format(having=f"standing > 0 AND {_DIFFERS}") + NEWEST
DIFFERING_DAYS: Final = (
    "SELECT DISTINCT toUInt32(intDiv(began, 86400) * 86400) AS midnight FROM ("
    f"{_DAYS.format(having=f'standing > 0 AND {_DIFFERS}')}) ORDER BY midnight DESC"
)
_EMPTIED: Final = (
    "SELECT toUInt32(intDiv(began, 86400) * 86400) AS midnight, count(), sum(rolled_up) FROM ({of}) "
    "GROUP BY midnight ORDER BY midnight DESC"
)
EMPTIED_HOURS: Final = _EMPTIED.format(of=_HOURS.format(having="standing = 0"))
EMPTIED_DAYS: Final = _EMPTIED.format(of=_DAYS.format(having="standing = 0"))
_UNSETTLED: Final = (
    f"SELECT tenant_id, project_id, {HOUR} FROM events WHERE {_OF_DAY} AND processed_at >= toDateTime64(%(settled)s, 3)"
)
WRONG_HOURS: Final = _COMPARED.format(
    true=_CONTENTS.format(start="hour"),
    of_true=f"FROM ({HOURS_OF_EVENTS} GROUP BY {HOURLY}) AS r",
    kept=_CONTENTS.format(start="hour"),
    of_kept=OF_HOURLY,
    having=f"standing > 0 AND {_DIFFERS} AND (tenant_id, project_id, start) NOT IN ({_UNSETTLED})",
)
WRONG_DAYS: Final = _COMPARED.format(
    true=_CONTENTS.format(start="toDateTime(day, 'UTC')"),
    of_true=f"FROM ({DAYS_OF_HOURS}) AS r",
    kept=_CONTENTS.format(start="toDateTime(day, 'UTC')"),
    of_kept=OF_DAILY,
    having=f"standing > 0 AND {_DIFFERS}",
)
