-- Skip indexes in place of projections that held positions, a funnel projection with smaller granules, more codecs, no
-- statistics. What drops comes first and takes a moment; what fills is last and goes on in the background
-- (system.mutations), while questions about older rows are slow. Codecs come with merges.
ALTER TABLE events DROP PROJECTION IF EXISTS by_user;
ALTER TABLE events DROP PROJECTION IF EXISTS by_session;
ALTER TABLE events DROP PROJECTION IF EXISTS by_message;
ALTER TABLE events DROP PROJECTION IF EXISTS by_event_name;
ALTER TABLE events MODIFY SETTING min_parts_to_merge_at_once = 10, auto_statistics_types = '';
ALTER TABLE events
    MODIFY COLUMN message_id CODEC(NONE),
    MODIFY COLUMN anonymous_id CODEC(ZSTD(1)),
    MODIFY COLUMN session_id CODEC(ZSTD(1)),
    MODIFY COLUMN page_path CODEC(ZSTD(1)),
    MODIFY COLUMN page_url CODEC(ZSTD(1)),
    MODIFY COLUMN page_title CODEC(ZSTD(1)),
    MODIFY COLUMN page_referrer CODEC(ZSTD(1)),
    MODIFY COLUMN user_agent CODEC(ZSTD(1)),
    MODIFY COLUMN ip_address CODEC(ZSTD(1));
ALTER TABLE events
    ADD INDEX IF NOT EXISTS user_id_bloom user_id TYPE bloom_filter(0.001) GRANULARITY 1,
    ADD INDEX IF NOT EXISTS anonymous_id_bloom anonymous_id TYPE bloom_filter(0.001) GRANULARITY 1,
    ADD INDEX IF NOT EXISTS session_id_bloom session_id TYPE bloom_filter(0.001) GRANULARITY 1,
    ADD INDEX IF NOT EXISTS message_id_bloom message_id TYPE bloom_filter(0.001) GRANULARITY 1,
    ADD PROJECTION IF NOT EXISTS by_event_name
    (
        SELECT tenant_id, event_name, timestamp, project_id, anonymous_id, user_id
        ORDER BY tenant_id, event_name, timestamp
    ) WITH SETTINGS (index_granularity = 4096);
ALTER TABLE events
    MATERIALIZE INDEX user_id_bloom,
    MATERIALIZE INDEX anonymous_id_bloom,
    MATERIALIZE INDEX session_id_bloom,
    MATERIALIZE INDEX message_id_bloom,
    MATERIALIZE PROJECTION by_event_name
    SETTINGS mutations_sync = 0;
