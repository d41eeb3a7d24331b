-- What was asked for, and what other things than tokens cost and were used. Rows of before are completions, which use none.
ALTER TABLE usage_events {on_cluster}
    ADD COLUMN IF NOT EXISTS image_pico_usd Int64 DEFAULT 0 CODEC(ZSTD(1)) AFTER request_pico_usd,
    ADD COLUMN IF NOT EXISTS second_pico_usd Int64 DEFAULT 0 CODEC(ZSTD(1)) AFTER image_pico_usd,
    ADD COLUMN IF NOT EXISTS character_pico_usd Int64 DEFAULT 0 CODEC(ZSTD(1)) AFTER second_pico_usd,
    ADD COLUMN IF NOT EXISTS search_unit_pico_usd Int64 DEFAULT 0 CODEC(ZSTD(1)) AFTER character_pico_usd,
    ADD COLUMN IF NOT EXISTS images UInt32 DEFAULT 0 AFTER cache_write_tokens,
    ADD COLUMN IF NOT EXISTS audio_ms UInt32 DEFAULT 0 AFTER images,
    ADD COLUMN IF NOT EXISTS characters UInt32 DEFAULT 0 AFTER audio_ms,
    ADD COLUMN IF NOT EXISTS search_units UInt32 DEFAULT 0 AFTER characters,
    ADD COLUMN IF NOT EXISTS operation LowCardinality(String) DEFAULT 'completion' AFTER app;
