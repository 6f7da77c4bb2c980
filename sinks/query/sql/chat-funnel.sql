-- How many web sessions led to a WhatsApp chat, and how many of those were answered by an agent and resolved?
--
-- Counted are sessions with a page view in the range, then those of them in which a handshake token was minted, whose token
-- came back in a conversation, in which an agent answered, and which is resolved at this moment. A step counts only where
-- all before it do: what a bot alone resolved stops at the third, a link that opens WhatsApp from outside the site has no
-- page view and is not in it. Of several conversations of a session that which came furthest counts.
--
-- --page STEP...  only sessions that viewed one of these: page:/path
SELECT
    step,
    ['page viewed', 'handshake created', 'chat begun', 'agent answered', 'resolved'][step] AS what,
    countIf(reached >= step) AS sessions,
    round(100 * sessions / greatest(1, first_value(sessions) OVER (ORDER BY step)), 2) AS percent_of_first,
    round(
        100 * sessions / greatest(1, if(step = 1, sessions, lagInFrame(sessions) OVER (ORDER BY step))), 2
    ) AS percent_of_previous
FROM
(
    SELECT multiIf(NOT minted, 1, 2 + came) AS reached
    FROM
    (
        SELECT session_id, max(event_name = 'WhatsApp Handshake Created') AS minted
        FROM {{events}}
        WHERE tenant_id = {tenant:String} AND project_id = {project:String}
            AND timestamp >= {from:DateTime64(3, 'UTC')} AND timestamp < {to:DateTime64(3, 'UTC')}
            AND ({robots:Bool} OR NOT is_bot)
            AND {{where}}
            AND session_id != ''
        GROUP BY session_id
        HAVING max(event_type = 'page' AND {{page}})
    ) AS visits
    LEFT JOIN
    (
        SELECT
            assumeNotNull(linked_session_id) AS session_id,
            max(multiIf(isNull(first_agent_response_at), 1, current_state != 'resolved', 2, 3)) AS came
        FROM {{conversations}}
        WHERE tenant_id = {tenant:String} AND project_id = {project:String}
            AND last_activity_at >= {from:DateTime64(3, 'UTC')}
            AND ifNull(linked_session_id, '') != ''
        GROUP BY session_id
    ) AS chats USING session_id
    UNION ALL
    -- Without a single session the steps have a row too.
    SELECT 0
)
ARRAY JOIN [1, 2, 3, 4, 5] AS step
GROUP BY step
ORDER BY step
