"""Records on local disk until Kafka has them: written by group commit, sent in order, sent again to a cluster that is new."""

from typing import Final

from servicekit.spool.acks import Published
from servicekit.spool.publisher import SpoolMetrics, SpoolPublisher
from servicekit.spool.record_spool import RecordSpool, SpoolError
from servicekit.spool.segments import SpoolEntry
from servicekit.spool.writer import SpoolLimits

POINTS: Final = (
    "spool.writing",  # records are in memory only
    "spool.written",  # they are in the file, the disk was not waited for
    "spool.synced",  # they are durable, nobody was told
    "spool.sending",  # they are read, nothing is sent
    "spool.acknowledged",  # the broker has them, that is not noted
    "spool.noted",  # it is noted in memory, and written down within a second
)
"""The places at which a test can kill a process that has a spool."""

__all__ = [
    "POINTS",
    "Published",
    "RecordSpool",
    "SpoolEntry",
    "SpoolError",
    "SpoolLimits",
    "SpoolMetrics",
    "SpoolPublisher",
]
