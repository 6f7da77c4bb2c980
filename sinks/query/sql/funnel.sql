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
            -- For each step: when the newest chain that leads so far began (0: none), and how long the first one took.
            arrayFold(
                (steps, event) -> arrayMap(
                    (this, before, step) -> if(
                        event.3[step] AND before.1 > 0 AND event.1 - before.1 <= {window_ms:Int64},
                        (before.1, if(this.2 >= 0, this.2, event.1 - before.1)),
                        this
                    ),
                    steps,
                    arrayPopBack(arrayPushFront(steps, (event.1, toInt64(-1)))),
                    arrayEnumerate(steps)
                ),
                arraySort(groupArray((toUnixTimestamp64Milli(timestamp), toUInt128(event_id), fits))),
                arrayMap(step -> (toInt64(0), toInt64(-1)), {step:Array(String)})
            ).2 AS took
        FROM
        (
            SELECT
                {{person}} AS person,
                timestamp,
                event_id,
                arrayMap((fit, step) -> fit AND (step > 1 OR timestamp < {to:DateTime64(3, 'UTC')}),
                    {{step}}, arrayEnumerate({step:Array(String)})) AS fits
            FROM {{events}}
            WHERE tenant_id = {tenant:String} AND project_id = {project:String}
                AND timestamp >= {from:DateTime64(3, 'UTC')}
                AND timestamp < {to:DateTime64(3, 'UTC')} + toIntervalMillisecond({window_ms:Int64} + 1)
                AND ({robots:Bool} OR NOT is_bot)
                AND {{where}}
                AND has({{step}}, 1)
        )
        GROUP BY person
        HAVING max(fits[1])
    )
    ARRAY JOIN took AS took_ms, arrayEnumerate(took) AS step
    GROUP BY step
) AS reached USING step
ORDER BY step
