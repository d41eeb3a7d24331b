-- Sums of usage_events by minute, hour and day. A bucket is always added up as a whole and replaces what was there, so that
-- repeating it changes nothing, whatever was inserted twice. A key that left a bucket stays in it with zeros.
--
-- Calls of each endpoint by the minute in which the generation started, with states of the quantiles.
CREATE TABLE IF NOT EXISTS endpoint_minutes {on_cluster}
(
    endpoint_id LowCardinality(String),
    minute DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    provider LowCardinality(String),
    successes UInt64,
    errors UInt64,
    rate_limited UInt64,
    tool_answers UInt64,
    bad_tool_answers UInt64,
    prompt_tokens UInt64,
    completion_tokens UInt64,
    counted_prompt_tokens UInt64,
    counted_cached_tokens UInt64,
    prompt_pico_usd Int128,
    completion_pico_usd Int128,
    streamed_answers UInt64,
    timed_answers UInt64,
    first_token_ms AggregateFunction(quantilesTDigest(0.5, 0.75, 0.9, 0.99), Float32),
    tokens_per_second AggregateFunction(quantilesTDigest(0.5, 0.25, 0.1, 0.01), Float32),
    version UInt64
)
ENGINE = {engine_prefix}ReplacingMergeTree(version)
PARTITION BY toYYYYMM(minute)
ORDER BY (endpoint_id, minute)
TTL minute + INTERVAL 35 DAY
SETTINGS ttl_only_drop_parts = 1;

-- Usage by the hour in which the generation started.
CREATE TABLE IF NOT EXISTS usage_hours {on_cluster}
(
    org_id String CODEC(ZSTD(1)),
    bucket DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    workspace_id String CODEC(ZSTD(1)),
    member_id String CODEC(ZSTD(1)),
    key_id String CODEC(ZSTD(1)),
    model LowCardinality(String),
    provider LowCardinality(String),
    endpoint_id LowCardinality(String),
    app_id UInt32,
    app String CODEC(ZSTD(1)),
    app_categories Array(LowCardinality(String)),
    private Bool,
    with_tools Bool,
    context_bucket UInt8,
    requests UInt64,
    prompt_tokens UInt64,
    completion_tokens UInt64,
    reasoning_tokens UInt64,
    cached_tokens UInt64,
    cost_nano_usd Int64,
    byok_requests UInt64,
    byok_cost_nano_usd Int64,
    version UInt64
)
ENGINE = {engine_prefix}ReplacingMergeTree(version)
PARTITION BY toYYYYMM(bucket)
ORDER BY (org_id, bucket, workspace_id, member_id, key_id, model, provider, endpoint_id, app_id, app, app_categories, private,
    with_tools, context_bucket)
TTL bucket + INTERVAL 100 DAY
SETTINGS ttl_only_drop_parts = 1;

-- The same by UTC day, kept longer than the events.
CREATE TABLE IF NOT EXISTS usage_days {on_cluster}
(
    org_id String CODEC(ZSTD(1)),
    bucket DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    workspace_id String CODEC(ZSTD(1)),
    member_id String CODEC(ZSTD(1)),
    key_id String CODEC(ZSTD(1)),
    model LowCardinality(String),
    provider LowCardinality(String),
    endpoint_id LowCardinality(String),
    app_id UInt32,
    app String CODEC(ZSTD(1)),
    app_categories Array(LowCardinality(String)),
    private Bool,
    with_tools Bool,
    context_bucket UInt8,
    requests UInt64,
    prompt_tokens UInt64,
    completion_tokens UInt64,
    reasoning_tokens UInt64,
    cached_tokens UInt64,
    cost_nano_usd Int64,
    byok_requests UInt64,
    byok_cost_nano_usd Int64,
    version UInt64
)
ENGINE = {engine_prefix}ReplacingMergeTree(version)
PARTITION BY toYYYYMM(bucket)
ORDER BY (org_id, bucket, workspace_id, member_id, key_id, model, provider, endpoint_id, app_id, app, app_categories, private,
    with_tools, context_bucket)
TTL bucket + INTERVAL 800 DAY
SETTINGS ttl_only_drop_parts = 1;

-- How far each of them has come: rows that were inserted before `seen_until` are in it, and buckets before `closed_until`
-- are added up.
CREATE TABLE IF NOT EXISTS rollup_progress {on_cluster}
(
    rollup LowCardinality(String),
    seen_until Int64,
    closed_until Int64,
    version UInt64
)
ENGINE = {engine_prefix}ReplacingMergeTree(version)
ORDER BY rollup;
