-- Smaller sums for the pages that are read most, all of closed UTC days and made together of the events: what an organisation used by
-- who used it (`key_days`), by what kind of answer it was (`kind_days`), and by its own end users (`user_days`), each of which has a
-- part of the columns of `usage_days` and a fraction of its rows; what sessions cost, without saying whose they are; and how
-- reliable providers were. `requested_model` of the first and the third is empty where a model answered.
CREATE TABLE IF NOT EXISTS key_days {on_cluster}
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
    tool_answers UInt64,
    version UInt64
)
ENGINE = {engine_prefix}ReplacingMergeTree(version)
PARTITION BY toMonday(bucket)
ORDER BY (org_id, bucket, workspace_id, member_id, key_id, model, requested_model, provider, endpoint_id, app_id, app, status)
TTL bucket + INTERVAL 800 DAY
SETTINGS index_granularity = 2048, ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600,
    min_age_to_force_merge_on_partition_only = 1;

CREATE TABLE IF NOT EXISTS kind_days {on_cluster}
(
    org_id String CODEC(ZSTD(1)),
    bucket DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    model LowCardinality(String),
    requested_model LowCardinality(String),
    provider LowCardinality(String),
    status LowCardinality(String),
    finish_reason LowCardinality(String),
    service_tier LowCardinality(String),
    context_bucket UInt8,
    country LowCardinality(String),
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
    tool_answers UInt64,
    version UInt64
)
ENGINE = {engine_prefix}ReplacingMergeTree(version)
PARTITION BY toMonday(bucket)
ORDER BY (org_id, bucket, model, requested_model, provider, status, finish_reason, service_tier, context_bucket, country)
TTL bucket + INTERVAL 800 DAY
SETTINGS index_granularity = 2048, ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600,
    min_age_to_force_merge_on_partition_only = 1;

CREATE TABLE IF NOT EXISTS user_days {on_cluster}
(
    org_id String CODEC(ZSTD(1)),
    bucket DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    external_user String CODEC(ZSTD(1)),
    workspace_id String CODEC(ZSTD(1)),
    member_id String CODEC(ZSTD(1)),
    key_id String CODEC(ZSTD(1)),
    model LowCardinality(String),
    requested_model LowCardinality(String),
    provider LowCardinality(String),
    app_id UInt32,
    app String CODEC(ZSTD(1)),
    status LowCardinality(String),
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
    tool_answers UInt64,
    version UInt64
)
ENGINE = {engine_prefix}ReplacingMergeTree(version)
PARTITION BY toMonday(bucket)
ORDER BY (org_id, bucket, external_user, workspace_id, member_id, key_id, model, requested_model, provider, app_id, app, status)
TTL bucket + INTERVAL 400 DAY
SETTINGS index_granularity = 2048, ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600,
    min_age_to_force_merge_on_partition_only = 1;

-- Public traffic of sessions in applications. `session` is a digest of the organisation and of its name for the session.
CREATE TABLE IF NOT EXISTS session_days {on_cluster}
(
    bucket DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    app String CODEC(ZSTD(1)),
    app_id UInt32,
    model LowCardinality(String),
    session UInt128,
    requests UInt64,
    cost_nano_usd Int64,
    version UInt64
)
ENGINE = {engine_prefix}ReplacingMergeTree(version)
PARTITION BY toYYYYMMDD(bucket)
ORDER BY (bucket, app, app_id, model, session)
TTL bucket + INTERVAL 40 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;

-- Calls of everybody. A minute with ten calls that count is busy, and good when 80 % of them were answered.
CREATE TABLE IF NOT EXISTS provider_days {on_cluster}
(
    bucket DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    provider LowCardinality(String),
    successes UInt64,
    errors UInt64,
    rate_limited UInt64,
    busy_minutes UInt64,
    good_minutes UInt64,
    version UInt64
)
ENGINE = {engine_prefix}ReplacingMergeTree(version)
PARTITION BY toYYYYMM(bucket)
ORDER BY (bucket, provider)
TTL bucket + INTERVAL 800 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;

-- Days that are older than the events are in `usage_days` only. What is made of the events replaces what is taken from there.
INSERT INTO key_days
    (org_id, bucket, workspace_id, member_id, key_id, model, requested_model, provider, endpoint_id, app_id, app, status, requests, prompt_tokens,
    completion_tokens, reasoning_tokens, cached_tokens, bad_tool_answers, cost_nano_usd, provider_cost_nano_usd, byok_requests,
    byok_cost_nano_usd, byok_fees_nano_usd, tool_answers, version)
SELECT
    org_id, bucket, workspace_id, member_id, key_id, model, if(model = '', requested_model, '') AS asked, provider, endpoint_id, app_id,
    app, status, sum(requests), sum(prompt_tokens), sum(completion_tokens),
    sum(reasoning_tokens), sum(cached_tokens), sum(bad_tool_answers),
    sum(cost_nano_usd), sum(provider_cost_nano_usd), sum(byok_requests),
    sum(byok_cost_nano_usd), sum(byok_fees_nano_usd), sumIf(requests, finish_reason = 'tool_calls'), 0
FROM usage_days FINAL
GROUP BY org_id, bucket, workspace_id, member_id, key_id, model, asked, provider, endpoint_id, app_id, app, status
SETTINGS max_partitions_per_insert_block = 0, max_execution_time = 0;

INSERT INTO kind_days
    (org_id, bucket, model, requested_model, provider, status, finish_reason, service_tier, context_bucket, country, requests, prompt_tokens,
    completion_tokens, reasoning_tokens, cached_tokens, bad_tool_answers, cost_nano_usd, provider_cost_nano_usd, byok_requests,
    byok_cost_nano_usd, byok_fees_nano_usd, tool_answers, version)
SELECT
    org_id, bucket, model, requested_model, provider, status, finish_reason, service_tier, context_bucket, country, sum(requests), sum(prompt_tokens), sum(completion_tokens),
    sum(reasoning_tokens), sum(cached_tokens), sum(bad_tool_answers),
    sum(cost_nano_usd), sum(provider_cost_nano_usd), sum(byok_requests),
    sum(byok_cost_nano_usd), sum(byok_fees_nano_usd), sumIf(requests, finish_reason = 'tool_calls'), 0
FROM usage_days FINAL
GROUP BY org_id, bucket, model, requested_model, provider, status, finish_reason, service_tier, context_bucket, country
SETTINGS max_partitions_per_insert_block = 0, max_execution_time = 0;
