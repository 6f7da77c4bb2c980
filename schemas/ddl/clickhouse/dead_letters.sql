-- Every event that could not go on, with its bytes: SELECT reason, count() FROM dead_letters GROUP BY reason.
CREATE TABLE IF NOT EXISTS dead_letters
(
    dead_letter_id    UUID,
    tenant_id         String,
    project_id        String,
    stage             LowCardinality(String),
    reason            LowCardinality(String),
    detail            String,
    payload           String,
    client_message_id String,
    source_topic      LowCardinality(String),
    source_partition  Int32,
    source_offset     Int64,
    first_seen_at     DateTime64(3),
    source_key        String
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(first_seen_at)
ORDER BY (tenant_id, project_id, reason, dead_letter_id)
TTL toDateTime(first_seen_at) + INTERVAL 2 YEAR;
