-- Which WhatsApp conversations were there: when, with whom, how did they come, how soon were they answered and resolved?
--
-- Conversations that began in the range, as they are at this moment, newest first. first_response_s: from the beginning to
-- the first message of a bot or agent. agent_response_s: from queued_at, when the wait for an agent began, to the first
-- message of an agent; a bot's message does not end that wait.
--
-- --limit NUMBER<=10000000=1000  so many conversations at most
SELECT
    toTimeZone(started_at, {tz:String}) AS started,
    current_state AS state,
    business_phone_id AS number,
    whatsapp_phone_id AS customer,
    user_id AS user,
    entry_source AS entry,
    round((toUnixTimestamp64Milli(first_response_at) - toUnixTimestamp64Milli(started_at)) / 1000, 3) AS first_response_s,
    round((toUnixTimestamp64Milli(first_agent_response_at) - toUnixTimestamp64Milli(queued_at)) / 1000, 3) AS agent_response_s,
    toTimeZone(resolved_at, {tz:String}) AS resolved,
    resolved_reason AS reason,
    message_count AS messages,
    bot_message_count AS bot_messages,
    agent_message_count AS agent_messages,
    handoff_count AS handoffs,
    linked_session_id AS session_id,
    toString(conversation_id) AS conversation_id
FROM {{conversations}}
WHERE tenant_id = {tenant:String} AND project_id = {project:String}
    AND started_at >= {from:DateTime64(3, 'UTC')} AND started_at < {to:DateTime64(3, 'UTC')}
    AND {{where}}
ORDER BY started_at DESC, conversation_id
LIMIT {limit:UInt64}
