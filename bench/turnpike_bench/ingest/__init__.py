"""Ingest of usage events, measured and broken on purpose: `make bench-ingest` and `make test-long`.

Everything is real: Apache Kafka (one node), metering as processes, the ClickHouse engine.
"""
