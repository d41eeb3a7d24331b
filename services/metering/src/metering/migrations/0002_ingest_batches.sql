-- The latest batch of each partition of a topic: its bounds, and whether its rows are in usage_events. The row of a batch
-- replaces that of the batch before it; `done` replaces the plan of the same batch.
CREATE TABLE IF NOT EXISTS ingest_batches {on_cluster}
(
    cluster_id String,
    topic LowCardinality(String),
    partition UInt32,
    first_offset Int64,
    last_offset Int64,
    planned_at Int64,
    token String,
    done Bool,
    version UInt64,
    written_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = {engine_prefix}ReplacingMergeTree(version)
ORDER BY (cluster_id, topic, partition)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
