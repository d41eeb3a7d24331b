-- A batch is one insert of several partitions. Each of them has a row, and each row the bounds of all, so that whoever takes one
-- partition over can repeat the whole insert. Rows of before have none: their batches had one partition.
ALTER TABLE ingest_batches {on_cluster}
    ADD COLUMN IF NOT EXISTS spans Array(Tuple(partition UInt32, first Int64, last Int64)) AFTER token;
