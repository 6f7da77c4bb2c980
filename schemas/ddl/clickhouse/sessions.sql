-- One row per session and version; read with FINAL and is_deleted = 0, or through the view sessions_current.
CREATE TABLE IF NOT EXISTS sessions
(
    session_id       UUID,
    tenant_id        String,
    anonymous_id     String,
    user_id          Nullable(String),
    started_at       DateTime64(3),
    ended_at         DateTime64(3),
    duration_seconds UInt32,
    event_count      UInt32,
    page_count       UInt32,
    entry_page       String,
    referrer         String,
    utm_source       Nullable(String),
    utm_medium       Nullable(String),
    utm_campaign     Nullable(String),
    device_type      LowCardinality(String),
    country_code     LowCardinality(String),
    converted        Bool DEFAULT false,
    conversion_event Nullable(String),
    version          UInt64,
    is_deleted       UInt8,
    project_id       String,
    exit_page        String,
    channel_type     LowCardinality(String),
    is_bot           Bool,
    client_session_id Nullable(String),
    absorbed_by      Nullable(String)
)
ENGINE = ReplacingMergeTree(version, is_deleted)
ORDER BY (tenant_id, session_id)
TTL toDateTime(started_at) + INTERVAL 2 YEAR
-- By default each merge counts the distinct values of every column again, and nobody asks.
SETTINGS auto_statistics_types = '';
