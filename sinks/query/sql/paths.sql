-- What do people do next after an event or a page, or just before it?
--
-- Each time that they did it within the range is one. What follows belongs to the path, also beyond the range's ends, while
-- no pause is longer than `--within`; (end) and (start) say that nothing more came. Events of one millisecond stand in the
-- order in which they were accepted. Page views are shown as page:/path, other events by name. `--where` holds for all.
--
-- exactly one of --after --before
-- --after STEP         an event's name, or page:/path; "Signed Up where property:plan=pro"
-- --before STEP        the same: what led to it
-- --depth NUMBER<=100=3     so many events after or before it
-- --within SPAN=30m    the longest pause between two events of a path
-- --limit NUMBER<=10000000=100   so many paths at most
WITH
    {before:String} != '' AS backwards,
    toIntervalMillisecond({within_ms:Int64} * {depth:UInt32}) AS margin
SELECT
    arrayStringConcat(if(backwards, arrayReverse(path), path), ' → ') AS path,
    count() AS times,
    uniqExact(person) AS people,
    round(100 * times / sum(times) OVER (), 2) AS percent
FROM
(
    SELECT
        person,
        arrayFirstIndex(
            (other, previous) -> abs(other.1 - previous.1) > {within_ms:Int64},
            others,
            arrayPopBack(arrayPushFront(others, (at, name)))
        ) AS pause,
        if(pause = 0, others, arraySlice(others, 1, pause - 1)).2 AS names,
        arrayConcat(
            [name], names, if(length(names) < {depth:UInt32}, [if(backwards, '(start)', '(end)')], [])
        ) AS path
    FROM
    (
        SELECT
            person,
            timestamp,
            at,
            name,
            fits,
            groupArray((at, name)) OVER (
                PARTITION BY person
                ORDER BY if(backwards, -at, at), if(backwards, bitNot(id), id)
                ROWS BETWEEN 1 FOLLOWING AND {depth:UInt32} FOLLOWING
            ) AS others
        FROM
        (
            SELECT
                {{person}} AS person,
                timestamp,
                toUInt128(event_id) AS id,
                toUnixTimestamp64Milli(timestamp) AS at,
                multiIf(
                    event_type = 'page', concat('page:', page_path), event_name != '', event_name, event_type
                ) AS name,
                ({after:String} != '' AND {{after}} OR {before:String} != '' AND {{before}}) AS fits
            FROM {{events}}
            WHERE tenant_id = {tenant:String} AND project_id = {project:String}
                AND timestamp >= {from:DateTime64(3, 'UTC')} - if(backwards, margin, toIntervalMillisecond(0))
                AND timestamp < {to:DateTime64(3, 'UTC')} + if(backwards, toIntervalMillisecond(0), margin)
                AND ({robots:Bool} OR NOT is_bot)
                AND {{where}}
        )
    )
    WHERE fits AND timestamp >= {from:DateTime64(3, 'UTC')} AND timestamp < {to:DateTime64(3, 'UTC')}
)
GROUP BY path
ORDER BY times DESC, path
LIMIT {limit:UInt64}
