-- Which sessions were there: when, who, from where, in at which page, and did they convert?
--
-- Sessions that began in the range, each by its newest version, newest first.
--
-- --person TEXT        only sessions of this user id or anonymous id
-- --limit NUMBER<=10000000=1000  so many sessions at most
SELECT
    toTimeZone(started_at, {tz:String}) AS started,
    duration_seconds,
    {{person}} AS person,
    event_count AS events,
    page_count AS pages,
    entry_page,
    exit_page,
    {{source}} AS source,
    device_type AS device,
    country_code AS country,
    converted,
    conversion_event,
    session_id
FROM {{sessions}}
WHERE tenant_id = {tenant:String} AND project_id = {project:String}
    AND started_at >= {from:DateTime64(3, 'UTC')} AND started_at < {to:DateTime64(3, 'UTC')}
    AND ({robots:Bool} OR NOT is_bot)
    AND {{where}}
    AND ({person:String} = '' OR {{theirs}})
ORDER BY started_at DESC, session_id
LIMIT {limit:UInt64}
