-- Where do WhatsApp conversations come from: which campaign, site or ad, and what became of them?
--
-- Conversations that began in the range. One that a token ties to a web session has that session's source: the campaign's
-- utm_source, else the site that referred, else (direct). One that an ad on Meta opened is (ad); all others are (organic).
-- (unknown session): the session is not, or no longer, in the table.
--
-- --by source|medium|campaign=source  what of the session is named; of an ad the campaign is its id
-- --limit NUMBER<=10000000=100        so many rows at most
SELECT
    multiIf(
        session != '', session,
        linked != '', '(unknown session)',
        entry_source = 'ctwa', if({by:String} = 'campaign' AND ifNull(ad_id, '') != '', assumeNotNull(ad_id), '(ad)'),
        '(organic)'
    ) AS value,
    count() AS conversations,
    uniqExact(whatsapp_phone_id) AS customers,
    count(first_agent_response_at) AS agent_answered,
    countIf(current_state = 'resolved') AS resolved,
    round(100 * conversations / sum(conversations) OVER (), 2) AS percent
FROM
(
    SELECT *, ifNull(linked_session_id, '') AS linked
    FROM {{conversations}}
    WHERE tenant_id = {tenant:String} AND project_id = {project:String}
        AND started_at >= {from:DateTime64(3, 'UTC')} AND started_at < {to:DateTime64(3, 'UTC')}
        AND {{where}}
) AS chats
LEFT JOIN
(
    SELECT
        toString(session_id) AS linked,
        multiIf(
            {by:String} = 'source', {{source}},
            coalesce(nullIf(if({by:String} = 'medium', utm_medium, utm_campaign), ''), '(none)')
        ) AS session
    FROM {{sessions}}
    WHERE tenant_id = {tenant:String} AND project_id = {project:String}
        AND session_id IN
        (
            SELECT toUUIDOrZero(ifNull(linked_session_id, ''))
            FROM {{conversations}}
            WHERE tenant_id = {tenant:String} AND project_id = {project:String}
                AND started_at >= {from:DateTime64(3, 'UTC')} AND started_at < {to:DateTime64(3, 'UTC')}
                AND {{where}}
        )
) AS sessions USING linked
GROUP BY value
ORDER BY conversations DESC, value
LIMIT {limit:UInt64}
