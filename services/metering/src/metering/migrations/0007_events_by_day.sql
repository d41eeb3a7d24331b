-- Events in a partition a day. Who asks for days reads those days, adding a minute up anew reads its day and not a month of
-- every organisation, and what is past its time goes a day at a time. A day that has been quiet for an hour becomes one
-- part, which FINAL reads as it is.
CREATE TABLE IF NOT EXISTS usage_events_by_month {on_cluster} AS usage_events
ENGINE = {engine_prefix}ReplacingMergeTree(rank)
PARTITION BY toYYYYMMDD(started_at)
ORDER BY (org_id, toStartOfHour(started_at), event_id)
TTL toDateTime(started_at) + INTERVAL 400 DAY
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    ttl_only_drop_parts = 1,
    min_age_to_force_merge_seconds = 3600,
    min_age_to_force_merge_on_partition_only = 1;

-- The tables change places as one step, so that nobody misses them; what was inserted meanwhile is copied once more. Copying
-- again changes nothing. The table by months stays until somebody drops it, and empties itself in time.
-- unless: SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'usage_events' AND partition_key LIKE '%toYYYYMMDD%'
INSERT INTO usage_events_by_month SELECT * FROM usage_events
SETTINGS insert_deduplicate = 0, max_partitions_per_insert_block = 0, max_execution_time = 0;

-- unless: SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'usage_events' AND partition_key LIKE '%toYYYYMMDD%'
EXCHANGE TABLES usage_events AND usage_events_by_month {on_cluster};

INSERT INTO usage_events SELECT * FROM usage_events_by_month WHERE ingested_at >= now() - INTERVAL 1 DAY
SETTINGS insert_deduplicate = 0, max_partitions_per_insert_block = 0, max_execution_time = 0;
