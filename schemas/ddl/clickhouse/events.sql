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
    properties        String CODEC(ZSTD(1)),
    sdk_version       String,
    processed_at      DateTime64(3) CODEC(DoubleDelta, ZSTD(1)),
    client_message_id String CODEC(ZSTD(1)),
    context           String CODEC(ZSTD(1)),
    is_bot            Bool,
    bot_reason        LowCardinality(String),
    group_id          Nullable(String),
    previous_id       Nullable(String),
    source_partition  UInt16,
    source_offset     UInt64 CODEC(Delta, ZSTD(1)),
    source_generation UInt16,

    -- Funnels: the columns a funnel asks for, in its order; without them every granule of the tenant would be read,
    -- since the events of one name lie everywhere in it.
    PROJECTION by_event_name
    (
        SELECT tenant_id, event_name, timestamp, project_id, anonymous_id, user_id
        ORDER BY tenant_id, event_name, timestamp
    ),
    -- User history, session lookup and deduplication: positions only, sorted another way. They answer which granules
    -- to read; copies of all columns would cost the table three times over.
    PROJECTION by_user (SELECT _part_offset ORDER BY user_id, timestamp),
    PROJECTION by_session (SELECT _part_offset ORDER BY session_id),
    PROJECTION by_message (SELECT _part_offset ORDER BY message_id),
    -- The sink asks which offsets of a batch are already here.
    PROJECTION by_source
    (
        SELECT source_generation, source_partition, source_offset
        ORDER BY source_generation, source_partition, source_offset
    )
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (tenant_id, timestamp, event_id)
TTL toDateTime(timestamp) + INTERVAL 2 YEAR
SETTINGS
    -- 0, the default, would ignore insert_deduplication_token: a batch sent again would stand twice. Rows wait for a view to
    -- be mended until half of it has passed: 17 minutes of 48 INSERTs a second.
    non_replicated_deduplication_window = 100000,
    allow_part_offset_column_in_projections = 1,
    -- Projections are made when parts are merged: an INSERT stays as fast as without them, and what was not merged yet is
    -- little enough to be read whole.
    materialize_projections_on_insert = 0,
    materialize_projections_on_merge = 1,
    -- 'throw', the default, would refuse DELETE on a table with projections.
    lightweight_mutation_projection_mode = 'rebuild';
