-- WhatsApp conversations, one row per version.
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
    message_count       UInt16,
    bot_message_count   UInt16,
    agent_message_count UInt16,
    linked_session_id   Nullable(String),
    handshake_token     Nullable(String),
    version             UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (tenant_id, conversation_id);
