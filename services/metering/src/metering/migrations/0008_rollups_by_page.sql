-- Sums for the pages that read them. They are made of the events, so those that change are made anew: one for what an
-- organisation used, by everything that it can ask for, and small ones for what everybody did, without organisations and
-- without private traffic. What does not change any more becomes one part a partition, which FINAL reads as it is.
DROP TABLE IF EXISTS endpoint_minutes {on_cluster};

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
PARTITION BY toYYYYMMDD(minute)
ORDER BY (endpoint_id, minute)
TTL minute + INTERVAL 35 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;

DROP TABLE IF EXISTS usage_hours {on_cluster};

-- Usage by the hour in which the generation started. `finish_reason` of tool calls tells answers with calls of tools.
CREATE TABLE IF NOT EXISTS usage_hours {on_cluster}
(
    org_id String CODEC(ZSTD(1)),
    bucket DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    workspace_id String CODEC(ZSTD(1)),
    member_id String CODEC(ZSTD(1)),
    key_id String CODEC(ZSTD(1)),
    model LowCardinality(String),
    requested_model LowCardinality(String),
    provider LowCardinality(String),
    endpoint_id LowCardinality(String),
    app_id UInt32,
    app String CODEC(ZSTD(1)),
    status LowCardinality(String),
    finish_reason LowCardinality(String),
    service_tier LowCardinality(String),
    context_bucket UInt8,
    requests UInt64,
    prompt_tokens UInt64,
    completion_tokens UInt64,
    reasoning_tokens UInt64,
    cached_tokens UInt64,
    bad_tool_answers UInt64,
    cost_nano_usd Int64,
    provider_cost_nano_usd Int64,
    byok_requests UInt64,
    byok_cost_nano_usd Int64,
    byok_fees_nano_usd Int64,
    version UInt64
)
ENGINE = {engine_prefix}ReplacingMergeTree(version)
PARTITION BY toYYYYMMDD(bucket)
ORDER BY (org_id, bucket, workspace_id, member_id, key_id, model, requested_model, provider, endpoint_id, app_id, app, status,
    finish_reason, service_tier, context_bucket)
TTL bucket + INTERVAL 100 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;

DROP TABLE IF EXISTS usage_days {on_cluster};

-- The same by UTC day, kept longer than the events. A small organisation reads little of a week.
CREATE TABLE IF NOT EXISTS usage_days {on_cluster}
(
    org_id String CODEC(ZSTD(1)),
    bucket DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    workspace_id String CODEC(ZSTD(1)),
    member_id String CODEC(ZSTD(1)),
    key_id String CODEC(ZSTD(1)),
    model LowCardinality(String),
    requested_model LowCardinality(String),
    provider LowCardinality(String),
    endpoint_id LowCardinality(String),
    app_id UInt32,
    app String CODEC(ZSTD(1)),
    status LowCardinality(String),
    finish_reason LowCardinality(String),
    service_tier LowCardinality(String),
    context_bucket UInt8,
    requests UInt64,
    prompt_tokens UInt64,
    completion_tokens UInt64,
    reasoning_tokens UInt64,
    cached_tokens UInt64,
    bad_tool_answers UInt64,
    cost_nano_usd Int64,
    provider_cost_nano_usd Int64,
    byok_requests UInt64,
    byok_cost_nano_usd Int64,
    byok_fees_nano_usd Int64,
    version UInt64
)
ENGINE = {engine_prefix}ReplacingMergeTree(version)
PARTITION BY toMonday(bucket)
ORDER BY (org_id, bucket, workspace_id, member_id, key_id, model, requested_model, provider, endpoint_id, app_id, app, status,
    finish_reason, service_tier, context_bucket)
TTL bucket + INTERVAL 800 DAY
SETTINGS index_granularity = 2048, ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600,
    min_age_to_force_merge_on_partition_only = 1;

-- Public traffic of models.
CREATE TABLE IF NOT EXISTS model_days {on_cluster}
(
    bucket DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    model LowCardinality(String),
    provider LowCardinality(String),
    with_tools Bool,
    context_bucket UInt8,
    requests UInt64,
    tokens UInt64,
    version UInt64
)
ENGINE = {engine_prefix}ReplacingMergeTree(version)
PARTITION BY toYYYYMM(bucket)
ORDER BY (bucket, model, provider, with_tools, context_bucket)
TTL bucket + INTERVAL 800 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;

-- Public traffic of models in applications that state their categories.
CREATE TABLE IF NOT EXISTS category_days {on_cluster}
(
    bucket DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    app_categories Array(LowCardinality(String)),
    model LowCardinality(String),
    requests UInt64,
    tokens UInt64,
    version UInt64
)
ENGINE = {engine_prefix}ReplacingMergeTree(version)
PARTITION BY toYYYYMM(bucket)
ORDER BY (bucket, app_categories, model)
TTL bucket + INTERVAL 800 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;

-- Public traffic of applications, with the latest title of each.
CREATE TABLE IF NOT EXISTS app_days {on_cluster}
(
    bucket DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    app_id UInt32,
    app String CODEC(ZSTD(1)),
    app_categories Array(LowCardinality(String)),
    title String CODEC(ZSTD(1)),
    titled_at DateTime64(3, 'UTC'),
    requests UInt64,
    tokens UInt64,
    version UInt64
)
ENGINE = {engine_prefix}ReplacingMergeTree(version)
PARTITION BY toYYYYMM(bucket)
ORDER BY (bucket, app_id, app, app_categories)
TTL bucket + INTERVAL 800 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;

-- All of them are added up from the beginning.
TRUNCATE TABLE rollup_progress {on_cluster};
