-- Counts of 32 bits, what stands behind the columns asked for, and tombstones that the engine knows. ClickHouse cannot
-- change an engine's arguments, so the rows go into a new table. It may be interrupted anywhere: the rows are in one of
-- the two tables at any moment, and copied twice they are the same rows.
-- What was added to the table, which the new one has not. An empty table beside a filled new one is what an interruption
-- left: it was made by the DDL of this release, whatever that has.
--? SELECT concat('column ', name) FROM system.columns
--? WHERE database = currentDatabase() AND table = 'conversations' AND NOT (
--?     (SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'conversations_widened') = 1
--?     AND (SELECT sum(total_rows) FROM system.tables WHERE database = currentDatabase() AND name = 'conversations') = 0
--? ) AND name NOT IN (
--?     'conversation_id', 'tenant_id', 'whatsapp_phone_id', 'user_id', 'current_state', 'started_at',
--?     'first_response_at', 'resolved_at', 'message_count', 'bot_message_count', 'agent_message_count',
--?     'linked_session_id', 'handshake_token', 'version', 'is_deleted', 'project_id', 'business_phone_id',
--?     'wa_id', 'queued_at', 'first_agent_response_at', 'last_activity_at', 'resolved_reason',
--?     'handoff_count', 'customer_message_count', 'queued_seconds', 'bot_seconds', 'agent_seconds',
--?     'entry_source', 'ctwa_clid', 'ad_id', 'linked_anonymous_id', 'inactivity_seconds'
--? )
--? UNION ALL SELECT concat('index ', name) FROM system.data_skipping_indices
--? WHERE database = currentDatabase() AND table = 'conversations'
--? UNION ALL SELECT concat('projection ', name) FROM system.projections
--? WHERE database = currentDatabase() AND table = 'conversations'
--? UNION ALL SELECT arrayJoin(arrayFilter(
--?     what -> what != '',
--?     [
--?         if(position(create_table_query, ' TTL ') > 0, 'TTL (REMOVE TTL drops it)', ''),
--?         if(position(create_table_query, ' CONSTRAINT ') > 0, 'a constraint', ''),
--?         if(extract(engine_full, ' SETTINGS (.*)$') IN ('', 'index_granularity = 8192'), '', 'settings of the table')
--?     ]
--? ))
--? FROM system.tables
--? WHERE database = currentDatabase() AND name = 'conversations';
SELECT throwIf(
    engine NOT IN ('ReplacingMergeTree', 'SharedReplacingMergeTree'),
    'conversations has an engine of its own: make it ReplacingMergeTree(version, is_deleted) by hand, as in conversations.sql'
)
FROM system.tables
WHERE database = currentDatabase() AND name = 'conversations';
ALTER TABLE conversations
    ADD COLUMN IF NOT EXISTS is_deleted UInt8,
    ADD COLUMN IF NOT EXISTS project_id String,
    ADD COLUMN IF NOT EXISTS business_phone_id String,
    ADD COLUMN IF NOT EXISTS wa_id String,
    ADD COLUMN IF NOT EXISTS queued_at Nullable(DateTime64(3)),
    ADD COLUMN IF NOT EXISTS first_agent_response_at Nullable(DateTime64(3)),
    ADD COLUMN IF NOT EXISTS last_activity_at DateTime64(3),
    ADD COLUMN IF NOT EXISTS resolved_reason LowCardinality(String),
    ADD COLUMN IF NOT EXISTS handoff_count UInt32,
    ADD COLUMN IF NOT EXISTS customer_message_count UInt32,
    ADD COLUMN IF NOT EXISTS queued_seconds UInt32,
    ADD COLUMN IF NOT EXISTS bot_seconds UInt32,
    ADD COLUMN IF NOT EXISTS agent_seconds UInt32,
    ADD COLUMN IF NOT EXISTS entry_source LowCardinality(String),
    ADD COLUMN IF NOT EXISTS ctwa_clid Nullable(String),
    ADD COLUMN IF NOT EXISTS ad_id Nullable(String),
    ADD COLUMN IF NOT EXISTS linked_anonymous_id Nullable(String),
    ADD COLUMN IF NOT EXISTS inactivity_seconds UInt32;
CREATE TABLE IF NOT EXISTS conversations_widened
(
    conversation_id     UUID,
    tenant_id           String,
    whatsapp_phone_id   String,
    user_id             Nullable(String),
    current_state       LowCardinality(String),
    started_at          DateTime64(3),
    first_response_at   Nullable(DateTime64(3)),
    resolved_at         Nullable(DateTime64(3)),
    message_count       UInt32,
    bot_message_count   UInt32,
    agent_message_count UInt32,
    linked_session_id   Nullable(String),
    handshake_token     Nullable(String),
    version             UInt64,
    is_deleted          UInt8,
    project_id          String,
    business_phone_id   String,
    wa_id               String,
    queued_at           Nullable(DateTime64(3)),
    first_agent_response_at Nullable(DateTime64(3)),
    last_activity_at    DateTime64(3),
    resolved_reason     LowCardinality(String),
    handoff_count       UInt32,
    customer_message_count UInt32,
    queued_seconds      UInt32,
    bot_seconds         UInt32,
    agent_seconds       UInt32,
    entry_source        LowCardinality(String),
    ctwa_clid           Nullable(String),
    ad_id               Nullable(String),
    linked_anonymous_id Nullable(String),
    inactivity_seconds  UInt32
)
ENGINE = ReplacingMergeTree(version, is_deleted)
ORDER BY (tenant_id, conversation_id);
INSERT INTO conversations_widened (
    conversation_id, tenant_id, whatsapp_phone_id, user_id, current_state, started_at, first_response_at,
    resolved_at, message_count, bot_message_count, agent_message_count, linked_session_id, handshake_token,
    version, is_deleted, project_id, business_phone_id, wa_id, queued_at, first_agent_response_at,
    last_activity_at, resolved_reason, handoff_count, customer_message_count, queued_seconds, bot_seconds,
    agent_seconds, entry_source, ctwa_clid, ad_id, linked_anonymous_id, inactivity_seconds
)
SELECT
    conversation_id, tenant_id, whatsapp_phone_id, user_id, current_state, started_at, first_response_at,
    resolved_at, message_count, bot_message_count, agent_message_count, linked_session_id, handshake_token,
    version, is_deleted, project_id, business_phone_id, wa_id, queued_at, first_agent_response_at,
    last_activity_at, resolved_reason, handoff_count, customer_message_count, queued_seconds, bot_seconds,
    agent_seconds, entry_source, ctwa_clid, ad_id, linked_anonymous_id, inactivity_seconds
FROM conversations;
DROP TABLE conversations SYNC;
RENAME TABLE conversations_widened TO conversations;
