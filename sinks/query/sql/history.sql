-- What did one person do, newest first, from which device, as which visitor?
--
-- A person is named by user id or by anonymous id. With `--people users` an anonymous id stands for the user that it is
-- linked to, and the events that a user's visitors sent before they were known are there as well.
--
-- --person TEXT!       a user id or an anonymous id
-- --limit NUMBER<=10000000=1000  so many events at most
SELECT
    toTimeZone(timestamp, {tz:String}) AS time,
    event_type AS type,
    event_name AS event,
    page_path AS page,
    {{person}} AS person,
    anonymous_id AS visitor,
    device_type AS device,
    country_code AS country,
    session_id,
    properties
FROM {{events}}
WHERE tenant_id = {tenant:String} AND project_id = {project:String}
    AND timestamp >= {from:DateTime64(3, 'UTC')} AND timestamp < {to:DateTime64(3, 'UTC')}
    AND ({robots:Bool} OR NOT is_bot)
    AND {{where}}
    AND {{theirs}}
ORDER BY timestamp DESC, toUInt128(event_id) DESC
LIMIT {limit:UInt64}
