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
    source_key        String,
    arrival           String CODEC(ZSTD(1)),

    -- The raw event that it is of, which the ledger asks for. Of the sink's, the payload is an enriched event, whose first
    -- three fields are offset, partition and generation: varints after 5 bytes of framing, doubled by Avro's zig-zag.
    lineage Array(UInt64) MATERIALIZED if(stage != 'sinks', [], arrayMap(head -> arrayMap(ends -> arrayMap(
        k -> arraySum(
            i -> bitShiftLeft(toUInt64(bitAnd(head[i], 127)), 7 * (i - if(k = 1, 0, ends[k - 1]) - 1)),
            range(if(k = 1, 0, ends[k - 1]) + 1, ends[k] + 1)
        ), [1, 2, 3]), [arrayFilter(i -> head[i] < 128, range(1, 31))])[1],
        [arrayMap(i -> reinterpretAsUInt8(substring(payload, i, 1)), range(6, 36))])[1]),
    raw_offset Int64 MATERIALIZED multiIf(
        stage = 'streams', source_offset,
        stage = 'sinks' AND lineage[1] % 2 = 0 AND lineage[2] = 2 * source_partition, toInt64(intDiv(lineage[1], 2)),
        -1
    ),
    raw_generation UInt16 MATERIALIZED if(stage = 'sinks', toUInt16(intDiv(lineage[3], 2)), 0), -- 0: not known

    -- All that the ledger asks for, since the letters of a page lie everywhere in the table; and where the rest of each is.
    PROJECTION by_source
    (
        SELECT source_partition, raw_offset, stage, source_topic, raw_generation, project_id, _part_offset
        ORDER BY source_partition, raw_offset
    )
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(first_seen_at)
ORDER BY (tenant_id, project_id, reason, dead_letter_id)
TTL toDateTime(first_seen_at) + INTERVAL 2 YEAR
SETTINGS
    allow_part_offset_column_in_projections = 1,
    -- 'throw', the default, would refuse a projection beside an engine that drops rows when parts merge, and DELETE.
    deduplicate_merge_projection_mode = 'rebuild',
    lightweight_mutation_projection_mode = 'rebuild';
