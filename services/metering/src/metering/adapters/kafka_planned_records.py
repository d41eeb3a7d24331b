"""Records of a plan from Kafka, read without a group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from metering.domain.batch import BatchPlan
from metering.planned_records import PlannedRecordsUnavailableError
from servicekit.kafka import BusUnavailableError, Record, read_ranges
from servicekit.settings import KafkaSettings


class KafkaPlannedRecords:
    """The PlannedRecords of a cluster. Each read has a connection of its own: there is one after a crash."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings

    async def read(self, plan: BatchPlan) -> Mapping[int, Sequence[Record]] | None:
        """Read what the topic still has of a plan, by partition, in the order of the offsets."""
        ranges = {span.partition: (span.first, span.last) for span in plan.spans}
        try:
            return await read_ranges(self._settings, plan.cluster_id, plan.topic, ranges)
        except BusUnavailableError as error:
            raise PlannedRecordsUnavailableError(str(error)) from error
