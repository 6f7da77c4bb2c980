-- Of the people who first came in a week, how many were back one, two, three weeks later?
--
-- A cohort: the people whose first start event within the range lies in that day, week (from Monday) or month. Number 0 is
-- the cohort itself; number n has those with a return event in the n-th day, week or month after, whatever they did
-- between. Who was there before the range is not known: begin the range early enough. The last one may not be over yet.
--
-- --every day|week|month=week  the length of a period
-- --start STEP                 what begins it: an event's name, or page:/path; any event if not given
-- --return STEP                what counts as being back; any event if not given
WITH
    -- Not dateTrunc, which ends in 2106.
    day -> multiIf({every:String} = 'week', toMonday(day), {every:String} = 'month', toStartOfMonth(day), day) AS period_of,
    period_of(toDate({to:DateTime64(3, 'UTC')} - toIntervalMillisecond(1), {tz:String})) AS last_period
SELECT
    cohort,
    people AS cohort_people,
    number,
    if(number = 0, people, back[number]) AS people_back,
    round(100 * people_back / people, 2) AS percent
FROM
(
    SELECT
        cohort,
        count() AS people,
        sumMap(mapFromArrays(numbers_back, arrayMap(number -> toUInt64(1), numbers_back))) AS back
    FROM
    (
        SELECT
            person,
            minIf(period, starts) AS cohort,
            arrayFilter(
                number -> number > 0,
                arrayMap(later -> dateDiff({every:String}, cohort, later), groupUniqArrayIf(period, returns))
            ) AS numbers_back
        FROM
        (
            SELECT
                {{person}} AS person,
                period_of(toDate(timestamp, {tz:String})) AS period,
                {{start}} AS starts,
                {{return}} AS returns
            FROM {{events}}
            WHERE tenant_id = {tenant:String} AND project_id = {project:String}
                AND timestamp >= {from:DateTime64(3, 'UTC')} AND timestamp < {to:DateTime64(3, 'UTC')}
                AND ({robots:Bool} OR NOT is_bot)
                AND {{where}}
                AND ({{start}} OR {{return}})
        )
        GROUP BY person
        HAVING max(starts)
    )
    GROUP BY cohort
)
ARRAY JOIN range(toUInt64(dateDiff({every:String}, cohort, last_period)) + 1) AS number
ORDER BY cohort, number
