-- One row per link that a person made or took back, with who did it and why; kept for ever.
CREATE TABLE IF NOT EXISTS identity_changes
(
    tenant_id       String,
    anonymous_id    String,
    user_id         String,
    changed_at      DateTime64(3),
    link_source     LowCardinality(String),
    is_deleted      UInt8,
    first_linked_at DateTime64(3),
    changed_by      String,
    reason          String
)
ENGINE = ReplacingMergeTree
ORDER BY (tenant_id, anonymous_id, user_id, changed_at, is_deleted, link_source);
