-- Events by hour, project, event, page, source, country and device: sum(events) is exact, visitors and sessions are
-- sketches that add up over any buckets: uniqCombinedMerge(visitors). Hours are UTC, so days of a zone half an hour off
-- cannot be made of them. The sinks compare it with the events and replace whole days: python -m sinks rollups.
CREATE TABLE IF NOT EXISTS events_hourly
(
    tenant_id    String,
    project_id   String,
    hour         DateTime('UTC') CODEC(Delta, ZSTD(1)),
    event_name   LowCardinality(String),
    event_type   LowCardinality(String),
    page_path    String CODEC(ZSTD(1)),
    source       String CODEC(ZSTD(1)), -- utm_source, else the referrer's domain unless it is the page's own; else ''
    country_code LowCardinality(String),
    device_type  LowCardinality(String),
    is_bot       Bool,
    events       UInt64 CODEC(T64, ZSTD(1)),
    visitors     AggregateFunction(uniqCombined, String), -- of anonymous_id, or user_id where there is none
    sessions     AggregateFunction(uniqCombined, String), -- of session_id
    checksum     UInt32 -- of the events' sources: tells whether these are the events that stand today
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(hour)
ORDER BY (tenant_id, project_id, hour, event_name, event_type, page_path, source, country_code, device_type, is_bot)
TTL toDateTime(hour) + INTERVAL 5 YEAR
SETTINGS
    ttl_only_drop_parts = 1;
