-- One row per link; kept for ever, cleaned by hand.
CREATE TABLE IF NOT EXISTS identities
(
    tenant_id       String,
    anonymous_id    String,
    user_id         String,
    linked_at       DateTime64(3),
    link_source     LowCardinality(String),
    traits          String,
    is_deleted      UInt8,
    first_linked_at DateTime64(3),

    INDEX user_id_bloom user_id TYPE bloom_filter(0.01) GRANULARITY 1,
    -- Aliases are few among the links: which granules have any.
    INDEX link_source_set link_source TYPE set(16) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(linked_at)
ORDER BY (tenant_id, anonymous_id, user_id)
-- By default each merge counts the distinct values of every column again, and nobody asks.
SETTINGS auto_statistics_types = '';
