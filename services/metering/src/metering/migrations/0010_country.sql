-- Where a call came from, as the proxy in front of the edge says; of what came before nobody knows it. Sums tell it apart, too: a
-- key of sorting may be made longer by a column that is added with it, and no row is written for that.
ALTER TABLE usage_events {on_cluster}
    ADD COLUMN IF NOT EXISTS country LowCardinality(String);

-- unless: SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'usage_hours' AND sorting_key LIKE '%country%'
ALTER TABLE usage_hours {on_cluster}
    ADD COLUMN country LowCardinality(String) AFTER context_bucket,
    MODIFY ORDER BY (org_id, bucket, workspace_id, member_id, key_id, model, requested_model, provider, endpoint_id, app_id, app, status,
        finish_reason, service_tier, context_bucket, country);

-- unless: SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'usage_days' AND sorting_key LIKE '%country%'
ALTER TABLE usage_days {on_cluster}
    ADD COLUMN country LowCardinality(String) AFTER context_bucket,
    MODIFY ORDER BY (org_id, bucket, workspace_id, member_id, key_id, model, requested_model, provider, endpoint_id, app_id, app, status,
        finish_reason, service_tier, context_bucket, country);
