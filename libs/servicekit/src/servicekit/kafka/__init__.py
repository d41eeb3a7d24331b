"""Kafka: a sink, a consumer whose offsets live in the store that it feeds, and tables kept from compacted topics."""

from servicekit.kafka.cluster import ClusterState, ClusterView, ClusterWatch, fetch_cluster_id
from servicekit.kafka.consumer import RecordConsumer
from servicekit.kafka.records import (
    BusError,
    BusUnavailableError,
    GapHandler,
    Record,
    RecordHandler,
    RecordTooLargeError,
    RetryLaterError,
    TopicPartition,
)
from servicekit.kafka.sink import RecordSink
from servicekit.kafka.table import CompactedTable

__all__ = [
    "BusError",
    "BusUnavailableError",
    "ClusterState",
    "ClusterView",
    "ClusterWatch",
    "CompactedTable",
    "GapHandler",
    "Record",
    "RecordConsumer",
    "RecordHandler",
    "RecordSink",
    "RecordTooLargeError",
    "RetryLaterError",
    "TopicPartition",
    "fetch_cluster_id",
]
