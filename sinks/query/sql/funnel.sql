-- How many people took these steps in this order within a window, and where did the others stop?
--
-- The first step lies in the range; the others may come until the window is over, also after the range's end. A later
-- start counts when it leads further. One event is one step, so a step that is named twice needs two events. Events of one
-- millisecond stand in the order in which they were accepted (their event_id). The window's last millisecond is in it.
-- Other events in between do no harm. median_s: seconds from the first step, of those who came so far.
--
-- --step STEP...!   an event's name, or page:/path; "Signed Up where property:plan=pro"; once for each step, in order
-- --window SPAN=7d  how long after the first step the last one may come: 30m, 6h, 7d
SELECT
    step,
    {step:Array(String)}[step] AS event,
    ifNull(people, 0) AS people,
    round(100 * ifNull(people, 0) / greatest(1, first_value(ifNull(people, 0)) OVER (ORDER BY step)), 2) AS percent_of_first,
    round(
        100 * ifNull(people, 0)
        / greatest(1, if(step = 1, ifNull(people, 0), lagInFrame(ifNull(people, 0)) OVER (ORDER BY step))),
        2
    ) AS percent_of_previous,
    median_s
FROM (SELECT arrayJoin(arrayEnumerate({step:Array(String)})) AS step) AS steps
LEFT JOIN
(
    SELECT
        step,
        toNullable(countIf(took_ms >= 0)) AS people,
        if(step = 1, 0, round(quantileExactInclusiveIf(0.5)(took_ms, took_ms >= 0) / 1000, 3)) AS median_s
    FROM
    (
        SELECT
            -- Step by step over all of a person's events: where an event completes the step, the newest start that leads
            -- to it, else 0. Newer events have newer starts, so the last one before an event is the newest. (A fold over
            -- the events instead takes 13 kB of memory an event.)
            arrayFold(
                (walk, step) -> arrayMap(
                    starts -> (
                        starts,
                        arrayPushBack(
                            walk.2,
                            if(
                                arrayExists(start -> start > 0, starts),
                                at[arrayFirstIndex(start -> start > 0, starts)] - arrayFirst(start -> start > 0, starts),
                                -1
                            )
                        )
                    ),
                    [arrayMap(
                        (moment, fit, start) -> if(fit[step] AND start > 0 AND moment - start <= {window_ms:Int64}, start, 0),
                        at,
                        fits,
                        if(step = 1, at, arrayPopBack(arrayPushFront(arrayFill(start -> start > 0, walk.1), 0)))
                    )]
                )[1],
                arrayEnumerate({step:Array(String)}),
                ([]::Array(Int64), []::Array(Int64))
            ).2 AS took
        FROM
        (
            SELECT arraySort(groupArray((moment, id, fit))) AS events, events.1 AS at, events.3 AS fits
            FROM
            (
                SELECT
                    {{person}} AS person,
                    toUnixTimestamp64Milli(timestamp) AS moment,
                    toUInt128(event_id) AS id,
                    arrayMap(
                        (fit, step) -> fit AND (step > 1 OR timestamp < {to:DateTime64(3, 'UTC')}),
                        {{step}},
                        arrayEnumerate({step:Array(String)})
                    ) AS fit
                FROM {{events}}
                WHERE tenant_id = {tenant:String} AND project_id = {project:String}
                    AND timestamp >= {from:DateTime64(3, 'UTC')}
                    AND timestamp < {to:DateTime64(3, 'UTC')} + toIntervalMillisecond({window_ms:Int64} + 1)
                    AND ({robots:Bool} OR NOT is_bot)
                    AND {{where}}
                    AND has({{step}}, 1)
            )
            GROUP BY person
            HAVING max(fit[1])
        )
    )
    ARRAY JOIN took AS took_ms, arrayEnumerate(took) AS step
    GROUP BY step
) AS reached USING step
ORDER BY step
