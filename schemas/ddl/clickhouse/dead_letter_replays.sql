-- Which dead letters were sent through again, and from which place of raw_events: the ledger counts that place as dead
-- though the dead letter, should it fail again, stands at another. One row a letter, place and outcome.
CREATE TABLE IF NOT EXISTS dead_letter_replays
(
    dead_letter_id   UUID,
    tenant_id        String,
    project_id       String,
    stage            LowCardinality(String),
    reason           LowCardinality(String),
    source_topic     LowCardinality(String),
    source_partition Int32,
    source_offset    Int64,
    outcome          LowCardinality(String),
    replayed_at      DateTime64(3)
)
ENGINE = ReplacingMergeTree(replayed_at)
ORDER BY (dead_letter_id, source_topic, source_partition, source_offset, outcome)
TTL toDateTime(replayed_at) + INTERVAL 2 YEAR;
