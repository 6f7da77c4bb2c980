-- How many WhatsApp conversations waited for an agent over time?
--
-- Every hour, day, week (from Monday) or month of the range has a row. A wait is that for a conversation's first agent
-- message: from queued_at to it. One without such a message waits while it is queued, and has left when it ended in the
-- queue; since when it waits is then taken from the time it spent with bots and agents, so that seconds in the queue before a
-- bot took it count as well. Later waits are not in it. waiting: at the row's end, or that of the range; longest: the most
-- at once; a wait that ends and one that begins in the same millisecond are not both there.
--
-- --every hour|day|week|month=hour  what a row stands for
WITH
    -- Not dateTrunc, which ends in 2106.
    at -> multiIf(
        {every:String} = 'hour', formatDateTime(at, '%F %H:00 %z', {tz:String}),
        {every:String} = 'week', toString(toMonday(toDate(at, {tz:String}))),
        {every:String} = 'month', toString(toStartOfMonth(toDate(at, {tz:String}))),
        toString(toDate(at, {tz:String}))
    ) AS period_of
SELECT
    period,
    sum(change) OVER (ORDER BY number) AS waiting,
    greatest(most, waiting - change) AS longest,
    began,
    answered,
    gone AS left_unanswered
FROM
(
    SELECT
        period,
        -- What waited before the range is in its first row.
        min(since) AS number,
        sum(delta) AS change,
        max(running) AS most,
        countIf(delta > 0 AND inside) AS began,
        countIf(delta < 0 AND inside AND by_agent) AS answered,
        countIf(delta < 0 AND inside AND NOT by_agent) AS gone
    FROM
    (
        SELECT
            greatest(at, {from:DateTime64(3, 'UTC')}) AS since,
            period_of(since) AS period,
            at >= {from:DateTime64(3, 'UTC')} AS inside,
            delta,
            by_agent,
            if(inside, sum(delta) OVER (ORDER BY at, delta ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW), 0) AS running
        FROM
        (
            SELECT change.1 AS at, change.2 AS delta, by_agent
            FROM
            (
                SELECT
                    isNotNull(first_agent_response_at) AS by_agent,
                    ifNull(queued_at, started_at + toIntervalSecond(bot_seconds + agent_seconds)) AS waits_since,
                    coalesce(first_agent_response_at, resolved_at, {to:DateTime64(3, 'UTC')}) AS waits_until
                FROM {{conversations}}
                WHERE tenant_id = {tenant:String} AND project_id = {project:String}
                    AND ifNull(resolved_at, {to:DateTime64(3, 'UTC')}) >= {from:DateTime64(3, 'UTC')}
                    AND started_at < {to:DateTime64(3, 'UTC')}
                    AND {{where}}
                    AND (
                        by_agent
                        OR current_state = 'queued'
                        OR current_state = 'resolved' AND (handoff_count > 0 OR bot_message_count = 0)
                    )
            )
            ARRAY JOIN [(waits_since, 1), (waits_until, -1)] AS change
            WHERE at < {to:DateTime64(3, 'UTC')}
        )
        UNION ALL
        -- A quarter of an hour is in one period in every zone.
        SELECT
            least(
                {from:DateTime64(3, 'UTC')} + toIntervalMinute(15 * number),
                {to:DateTime64(3, 'UTC')} - toIntervalMillisecond(1)
            ) AS since,
            period_of(since),
            false,
            0,
            false,
            0
        FROM numbers(toUInt64(dateDiff('minute', {from:DateTime64(3, 'UTC')}, {to:DateTime64(3, 'UTC')}) / 15 + 2))
    )
    GROUP BY period
)
ORDER BY number
