-- How many people are here at the moment: in the last 5 and 30 minutes?
--
-- By the events' own time, up to now, or up to --to.
--
-- --minutes NUMBER<=525600...=5,30  how far back; a row for each
SELECT minutes, people, sessions, events, page_views
FROM (SELECT arrayJoin({minutes:Array(UInt32)}) AS minutes) AS asked
LEFT JOIN
(
    SELECT
        minutes,
        uniqExact({{person}}) AS people,
        uniqExact(session_id) AS sessions,
        count() AS events,
        countIf(event_type = 'page') AS page_views
    FROM {{events}}
    ARRAY JOIN {minutes:Array(UInt32)} AS minutes
    WHERE tenant_id = {tenant:String} AND project_id = {project:String}
        AND timestamp >= {to:DateTime64(3, 'UTC')} - toIntervalMinute(arrayMax({minutes:Array(UInt32)}))
        AND timestamp < {to:DateTime64(3, 'UTC')}
        AND ({robots:Bool} OR NOT is_bot)
        AND {{where}}
        AND timestamp >= {to:DateTime64(3, 'UTC')} - toIntervalMinute(minutes)
    GROUP BY minutes
) AS counted USING minutes
ORDER BY minutes
