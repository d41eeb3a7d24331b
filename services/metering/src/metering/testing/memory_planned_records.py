"""PlannedRecords in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from metering.domain.batch import BatchPlan
from metering.planned_records import PlannedRecordsUnavailableError
from servicekit.kafka import Record, TopicPartition


class MemoryPlannedRecords:
    """Reads from lists of records, which whoever made them may add to and cut."""

    def __init__(self, topic: Mapping[TopicPartition, Sequence[Record]], cluster_id: str = "c") -> None:
        self.cluster_id = cluster_id
        self.down = False
        self._topic = topic

    async def read(self, plan: BatchPlan) -> Mapping[int, Sequence[Record]] | None:
        """Read what the topic still has of a plan, by partition, in the order of the offsets."""
        if self.down:
            raise PlannedRecordsUnavailableError("the broker is down")
        if plan.cluster_id != self.cluster_id:
            return None
        found = {}
        for span in plan.spans:
            records = self._topic.get(TopicPartition(plan.topic, span.partition), ())
            if not records or records[-1].offset < span.last:
                return None
            found[span.partition] = [record for record in records if span.first <= record.offset <= span.last]
        return found
