-- Which pages were looked at most, by how many people, in how many sessions?
--
-- Page views only; a page is its path, without the query. percent: of all page views of the range.
--
-- --limit NUMBER<=10000000=100  so many pages at most
SELECT
    page_path AS page,
    count() AS views,
    uniqExact({{person}}) AS people,
    uniqExact(session_id) AS sessions,
    round(100 * views / sum(views) OVER (), 2) AS percent
FROM {{events}}
WHERE tenant_id = {tenant:String} AND project_id = {project:String}
    AND timestamp >= {from:DateTime64(3, 'UTC')} AND timestamp < {to:DateTime64(3, 'UTC')}
    AND ({robots:Bool} OR NOT is_bot)
    AND {{where}}
    AND event_type = 'page'
GROUP BY page
ORDER BY views DESC, page
LIMIT {limit:UInt64}
