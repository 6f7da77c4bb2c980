-- One row per kept event. MergeTree has no unique key: that each (project_id, message_id) stands once is the pipeline's promise.
CREATE TABLE IF NOT EXISTS events
(
    event_id          UUID,
    message_id        UUID,
    tenant_id         String,
    project_id        String,
    event_name        LowCardinality(String),
    event_type        LowCardinality(String) DEFAULT 'track',
    timestamp         DateTime64(3) CODEC(DoubleDelta, ZSTD(1)),
    received_at       DateTime64(3) CODEC(DoubleDelta, ZSTD(1)),
    anonymous_id      String,
    user_id           Nullable(String),
    session_id        String,
    channel_type      LowCardinality(String) DEFAULT 'web',
    external_id       Nullable(String),
    handshake_token   Nullable(String),
    page_path         String,
    page_url          String,
    page_title        String,
    page_referrer     String,
    user_agent        String,
    device_type       LowCardinality(String),
    os_name           LowCardinality(String),
    os_version        String,
    browser_name      LowCardinality(String),
    browser_version   String,
    ip_address        String,
    country_code      LowCardinality(String),
    city              String,
    properties        String,
    sdk_version       String,
    processed_at      DateTime64(3) CODEC(DoubleDelta, ZSTD(1)),
    client_message_id String,
    context           String,
    is_bot            Bool,
    bot_reason        LowCardinality(String),
    group_id          Nullable(String),
    previous_id       Nullable(String),
    source_partition  UInt16,
    source_offset     UInt64 CODEC(Delta, ZSTD(1)),
    source_generation UInt16,

    -- Funnels, user history, session lookup and deduplication: each an index of row positions sorted another way.
    -- A projection of positions costs a few bytes a row; copies of all columns would cost the table four times over.
    PROJECTION by_event_name (SELECT _part_offset ORDER BY tenant_id, event_name, timestamp),
    PROJECTION by_user (SELECT _part_offset ORDER BY user_id, timestamp),
    PROJECTION by_session (SELECT _part_offset ORDER BY session_id),
    PROJECTION by_message (SELECT _part_offset ORDER BY message_id),
    -- The sink asks which offsets of a batch are already here; offsets rise with time, so a range skips nearly all.
    INDEX source_offset_range source_offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (tenant_id, timestamp, event_id)
TTL toDateTime(timestamp) + INTERVAL 2 YEAR
SETTINGS
    -- 0, the default, would ignore insert_deduplication_token: a batch sent again would stand twice.
    non_replicated_deduplication_window = 10000,
    allow_part_offset_column_in_projections = 1;
