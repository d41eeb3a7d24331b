"""What ingest needs to end a batch that somebody else planned: its records once more, of all its partitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from metering.domain.batch import BatchPlan
from metering.domain.errors import MeteringError
from servicekit.kafka import Record


class PlannedRecordsUnavailableError(MeteringError):
    """The topic cannot be read now: the same again later may work."""


class PlannedRecords(Protocol):
    """The topic, by bounds instead of in turn."""

    async def read(self, plan: BatchPlan) -> Mapping[int, Sequence[Record]] | None:
        """Read what the topic still has of a plan, by partition, in the order of the offsets.

        None when a partition does not reach to the end of its bounds, or the cluster is another one: the topic was made anew,
        and the plan is of records that no longer exist.

        Raises:
            PlannedRecordsUnavailableError: it cannot be read now.
        """
        ...
