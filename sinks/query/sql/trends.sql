-- How many events and people were there over time, altogether or by a dimension?
--
-- Every hour, day, week (from Monday) or month of the range has a row, also an empty one; the first and the last may be
-- cut by the range. An hour is named with its offset from UTC, so that the hour that comes twice in autumn is two.
--
-- --event STEP...                 only these: an event's name, or page:/path; repeat it for several
-- --every hour|day|week|month=day what a row stands for
-- --by DIMENSION                  a row for each of its values too
-- --top NUMBER<=10000=10                 so many of the values with most events; the rest is (other)
WITH
    -- Not dateTrunc, which ends in 2106.
    at -> multiIf(
        {every:String} = 'hour', formatDateTime(at, '%F %H:00 %z', {tz:String}),
        {every:String} = 'week', toString(toMonday(toDate(at, {tz:String}))),
        {every:String} = 'month', toString(toStartOfMonth(toDate(at, {tz:String}))),
        toString(toDate(at, {tz:String}))
    ) AS period_of,
    (
        -- A quarter of an hour is in one period in every zone.
        SELECT groupArray(name)
        FROM
        (
            SELECT period_of(moment) AS name, min(moment) AS since
            FROM
            (
                SELECT least(
                    {from:DateTime64(3, 'UTC')} + toIntervalMinute(15 * number),
                    {to:DateTime64(3, 'UTC')} - toIntervalMillisecond(1)
                ) AS moment
                FROM numbers(
                    toUInt64(dateDiff('minute', {from:DateTime64(3, 'UTC')}, {to:DateTime64(3, 'UTC')}) / 15 + 2)
                )
            )
            GROUP BY name
            ORDER BY since
        )
    ) AS periods
SELECT
    period,
    shown AS value,
    counted[period].1 AS events,
    counted[period].2 AS people
FROM
(
    SELECT
        shown,
        CAST(groupArray((period, (events, people))), 'Map(String, Tuple(UInt64, UInt64))') AS counted,
        sum(events) AS all_events
    FROM
    (
        SELECT
            if(place <= {top:UInt32}, value, '(other)') AS shown,
            period,
            sum(events) AS events,
            uniqExactMerge(persons) AS people
        FROM
        (
            SELECT value, period, events, persons, dense_rank() OVER (ORDER BY of_value DESC, value) AS place
            FROM
            (
                SELECT value, period, events, persons, sum(events) OVER (PARTITION BY value) AS of_value
                FROM
                (
                    SELECT
                        {{by}} AS value,
                        period_of(timestamp) AS period,
                        count() AS events,
                        uniqExactState({{person}}) AS persons
                    FROM {{events}}
                    WHERE tenant_id = {tenant:String} AND project_id = {project:String}
                        AND timestamp >= {from:DateTime64(3, 'UTC')} AND timestamp < {to:DateTime64(3, 'UTC')}
                        AND ({robots:Bool} OR NOT is_bot)
                        AND {{where}}
                        AND {{event}}
                    GROUP BY value, period
                )
            )
        )
        GROUP BY shown, period
        UNION ALL
        -- Without a single event the periods have a row too.
        SELECT '(all)', '', 0, 0
        WHERE {{all}}
    )
    GROUP BY shown
)
ARRAY JOIN periods AS period, arrayEnumerate(periods) AS number
ORDER BY number, shown = '(other)', all_events DESC, shown
