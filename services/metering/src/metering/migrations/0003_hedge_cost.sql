-- What the providers of cancelled copies of the request are owed, all attempts together. Nobody is charged for it. Rows of
-- before had no copies.
ALTER TABLE usage_events {on_cluster}
    ADD COLUMN IF NOT EXISTS hedge_cost_nano_usd Int64 DEFAULT 0 AFTER provider_cost_nano_usd;
