-- One row for each usage event and rank. Of rows with the same sorting key the one with the highest rank counts: read
-- with FINAL. The sorting key holds nothing that a repeat of the event could state differently.
CREATE TABLE IF NOT EXISTS usage_events {on_cluster}
(
    event_id UUID,
    rank UInt8,
    generation_id String CODEC(ZSTD(1)),
    org_id String CODEC(ZSTD(1)),
    key_id String CODEC(ZSTD(1)),
    model LowCardinality(String),
    requested_model LowCardinality(String),
    provider LowCardinality(String),
    endpoint_id LowCardinality(String),
    price_version LowCardinality(String),
    prompt_pico_usd Int64 CODEC(ZSTD(1)),
    completion_pico_usd Int64 CODEC(ZSTD(1)),
    reasoning_pico_usd Int64 CODEC(ZSTD(1)),
    cached_pico_usd Int64 CODEC(ZSTD(1)),
    cache_write_pico_usd Int64 CODEC(ZSTD(1)),
    request_pico_usd Int64 CODEC(ZSTD(1)),
    prompt_tokens UInt32,
    completion_tokens UInt32,
    reasoning_tokens UInt32,
    cached_tokens UInt32,
    cache_write_tokens UInt32,
    token_source LowCardinality(String),
    cost_nano_usd Int64,
    provider_cost_nano_usd Int64,
    status LowCardinality(String),
    finish_reason LowCardinality(String),
    native_finish_reason LowCardinality(String),
    streamed Bool,
    started_at DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    ended_at DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    first_token_ms Int64 CODEC(ZSTD(1)),
    generation_ms Int64 CODEC(ZSTD(1)),
    attempts Array(Tuple(
        endpoint_id LowCardinality(String),
        provider LowCardinality(String),
        outcome LowCardinality(String),
        status_code Int32,
        latency_ms Int64
    )),
    upstream_id String CODEC(ZSTD(1)),
    router_instance LowCardinality(String),
    region LowCardinality(String),
    http_referer String CODEC(ZSTD(1)),
    app_title String CODEC(ZSTD(1)),
    session_id String CODEC(ZSTD(1)),
    error_type LowCardinality(String),
    ingested_at DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(DoubleDelta, ZSTD(1)),
    -- Finds one generation without its start time, as people ask for it by hand.
    INDEX by_generation generation_id TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = {engine_prefix}ReplacingMergeTree(rank)
PARTITION BY toYYYYMM(started_at)
ORDER BY (org_id, toStartOfHour(started_at), event_id)
TTL toDateTime(started_at) + INTERVAL 400 DAY
SETTINGS
    -- Tokens of inserts are remembered: for 10,000 blocks, and for a week where the table is replicated. An open batch is
    -- repeated within one restart, so a week is a service that was down for a week.
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800,
    -- A batch that is written down as done is on the disk.
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    ttl_only_drop_parts = 1;
