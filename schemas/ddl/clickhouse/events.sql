-- One row per kept event. MergeTree has no unique key: that each (project_id, message_id) stands once is the pipeline's promise.
CREATE TABLE IF NOT EXISTS events
(
    -- Codecs by measurement (bytes a row of LZ4, the default, and of this one: tests/bench/README.md). ZSTD(1) where it
    -- halves a text; LZ4, which is faster to read, for what is small anyway; ZSTD(3) saves nothing more. message_id is
    -- random.
    event_id          UUID,
    message_id        UUID CODEC(NONE),
    tenant_id         String,
    project_id        String,
    event_name        LowCardinality(String),
    event_type        LowCardinality(String) DEFAULT 'track',
    timestamp         DateTime64(3) CODEC(DoubleDelta, ZSTD(1)),
    received_at       DateTime64(3) CODEC(DoubleDelta, ZSTD(1)),
    anonymous_id      String CODEC(ZSTD(1)),
    user_id           Nullable(String),
    session_id        String CODEC(ZSTD(1)),
    channel_type      LowCardinality(String) DEFAULT 'web',
    external_id       Nullable(String),
    handshake_token   Nullable(String),
    page_path         String CODEC(ZSTD(1)),
    page_url          String CODEC(ZSTD(1)),
    page_title        String CODEC(ZSTD(1)),
    page_referrer     String CODEC(ZSTD(1)),
    user_agent        String CODEC(ZSTD(1)),
    device_type       LowCardinality(String),
    os_name           LowCardinality(String),
    os_version        String,
    browser_name      LowCardinality(String),
    browser_version   String,
    ip_address        String CODEC(ZSTD(1)),
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

    -- History of a user and of a visitor, a session, a message: which granules may hold the value. Made by the INSERT, so
    -- what was not merged yet is not read whole either; a false hit is one granule in a thousand.
    INDEX user_id_bloom user_id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX anonymous_id_bloom anonymous_id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX session_id_bloom session_id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX message_id_bloom message_id TYPE bloom_filter(0.001) GRANULARITY 1,

    -- Funnels: the columns a funnel asks for, in its order; without them every granule of the tenant would be read,
    -- since the events of one name lie everywhere in it. ClickHouse takes what has fewer granules: with half as many rows
    -- in each, this is taken where it saves more than half, and never for the history of a user, whose columns it has too.
    PROJECTION by_event_name
    (
        SELECT tenant_id, event_name, timestamp, project_id, anonymous_id, user_id
        ORDER BY tenant_id, event_name, timestamp
    ) WITH SETTINGS (index_granularity = 4096),
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
    -- Projections are made when parts are merged: an INSERT stays as fast as without them, and what was not merged yet is
    -- little enough for a funnel to read it whole.
    materialize_projections_on_insert = 0,
    materialize_projections_on_merge = 1,
    -- Fewer and larger merges: a row is merged a third as often. Up to nine parts of a size stay beside each other.
    min_parts_to_merge_at_once = 10,
    -- By default each merge counts the distinct values of every column again: a third of its CPU, and nobody asks.
    auto_statistics_types = '',
    -- 'throw', the default, would refuse DELETE on a table with projections.
    lightweight_mutation_projection_mode = 'rebuild';
