-- events_hourly by day, made of it: days are UTC. Days of another zone come from events_hourly:
-- toStartOfDay(hour, 'Europe/Berlin'), unless it is half an hour off.
CREATE TABLE IF NOT EXISTS events_daily
(
    tenant_id    String,
    project_id   String,
    day          Date,
    event_name   LowCardinality(String),
    event_type   LowCardinality(String),
    page_path    String CODEC(ZSTD(1)),
    source       String CODEC(ZSTD(1)),
    country_code LowCardinality(String),
    device_type  LowCardinality(String),
    is_bot       Bool,
    events       UInt64 CODEC(T64, ZSTD(1)),
    visitors     AggregateFunction(uniqCombined, String),
    sessions     AggregateFunction(uniqCombined, String),
    checksum     UInt32
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(day)
ORDER BY (tenant_id, project_id, day, event_name, event_type, page_path, source, country_code, device_type, is_bot)
TTL toDateTime(day) + INTERVAL 5 YEAR
SETTINGS
    ttl_only_drop_parts = 1;
