-- WhatsApp conversations, one row an episode and version; read through the view conversations_current.
CREATE TABLE IF NOT EXISTS conversations
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
