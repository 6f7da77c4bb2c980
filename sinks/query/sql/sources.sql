-- Where do sessions come from, and how many of them convert?
--
-- Sessions that began in the range. A source is the campaign's utm_source, else the site that referred, else (direct).
-- What converts is the project's setting conversion_events; a session counts once, by the first of its conversions.
--
-- --by DIMENSION=source   instead of the source: medium, campaign, referrer, entry, country, device …
-- --conversion TEXT       only this conversion event
-- --limit NUMBER<=10000000=100      so many rows at most
SELECT
    {{by}} AS value,
    count() AS sessions,
    uniqExact({{person}}) AS people,
    countIf(converts) AS conversions,
    uniqExactIf({{person}}, converts) AS people_converted,
    round(100 * conversions / sessions, 2) AS percent
FROM
(
    SELECT *, converted AND ({conversion:String} = '' OR conversion_event = {conversion:String}) AS converts
    FROM {{sessions}}
    WHERE tenant_id = {tenant:String} AND project_id = {project:String}
        AND started_at >= {from:DateTime64(3, 'UTC')} AND started_at < {to:DateTime64(3, 'UTC')}
        AND ({robots:Bool} OR NOT is_bot)
        AND {{where}}
)
GROUP BY value
ORDER BY sessions DESC, value
LIMIT {limit:UInt64}
