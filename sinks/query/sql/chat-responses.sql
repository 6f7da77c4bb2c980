-- How soon were WhatsApp conversations answered, by the hour of the day and by where they came from?
--
-- Conversations that began in the range, each in the hour of the zone's day in which it began. first_…: from the beginning
-- to the first message of a bot or agent. agent_…: from queued_at, when the wait for an agent began, to the first message of
-- an agent. p50 and p90 are of those that were answered, between the two nearest; NULL where none was.
--
-- --by DIMENSION=entry  a row for each of its values: entry (handshake, ctwa, organic), number, ad …
WITH (since, until) -> (toUnixTimestamp64Milli(until) - toUnixTimestamp64Milli(since)) / 1000 AS seconds
SELECT
    toHour(started_at, {tz:String}) AS hour,
    {{by}} AS value,
    count() AS conversations,
    count(first_response_at) AS answered,
    if(answered = 0, NULL, round(quantileExactInclusive(0.5)(seconds(started_at, first_response_at)), 3)) AS first_p50_s,
    if(answered = 0, NULL, round(quantileExactInclusive(0.9)(seconds(started_at, first_response_at)), 3)) AS first_p90_s,
    count(first_agent_response_at) AS agent_answered,
    if(agent_answered = 0, NULL, round(quantileExactInclusive(0.5)(seconds(queued_at, first_agent_response_at)), 3)) AS agent_p50_s,
    if(agent_answered = 0, NULL, round(quantileExactInclusive(0.9)(seconds(queued_at, first_agent_response_at)), 3)) AS agent_p90_s
FROM {{conversations}}
WHERE tenant_id = {tenant:String} AND project_id = {project:String}
    AND started_at >= {from:DateTime64(3, 'UTC')} AND started_at < {to:DateTime64(3, 'UTC')}
    AND {{where}}
GROUP BY hour, value
ORDER BY hour, value
