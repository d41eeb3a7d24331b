"""Kafka: a sink, a consumer whose offsets live in the store that it feeds, tables kept from compacted topics, tails."""

from servicekit.kafka.cluster import ClusterState, ClusterView, ClusterWatch, fetch_cluster_id
from servicekit.kafka.consumer import RecordConsumer
from servicekit.kafka.ranges import read_ranges
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
from servicekit.kafka.tail import TopicTail

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
    "TopicTail",
    "fetch_cluster_id",
    "read_ranges",
]
