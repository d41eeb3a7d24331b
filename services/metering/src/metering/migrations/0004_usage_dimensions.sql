-- What usage is added up by besides model, key and time. Rows of before belong to no workspace, member or application.
-- Times are the same in every version of a row, and new rows are in small parts, so that little is read to find either.
ALTER TABLE usage_events {on_cluster}
    ADD COLUMN IF NOT EXISTS workspace_id String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS member_id String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS external_user String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS tool_calls UInt32,
    ADD COLUMN IF NOT EXISTS bad_tool_calls UInt32,
    ADD COLUMN IF NOT EXISTS is_byok Bool,
    ADD COLUMN IF NOT EXISTS service_tier LowCardinality(String),
    ADD COLUMN IF NOT EXISTS private Bool,
    ADD COLUMN IF NOT EXISTS user_agent String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS request_id String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS app_categories Array(LowCardinality(String)),
    ADD COLUMN IF NOT EXISTS app_id UInt32,
    ADD COLUMN IF NOT EXISTS app String CODEC(ZSTD(1)),
    ADD INDEX IF NOT EXISTS by_start started_at TYPE minmax GRANULARITY 1,
    ADD INDEX IF NOT EXISTS by_ingestion ingested_at TYPE minmax GRANULARITY 1;
