"""What metering needs from outside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from metering.domain.batch import BatchPlan, DeadLetter, Progress
from metering.domain.usage import UsageQuestion, UsageRow, UsageTotals


class UsageLog(Protocol):
    """Every usage event, once in effect.

    Raises:
        UsageLogUnavailableError: the store cannot be reached.
        UsageLogBusyError: too many questions are waiting; never raised by the steps of a batch.
        UsageLogRefusedError: the store's tables do not fit.
    """

    async def progress(self, cluster_id: str, topic: str) -> Sequence[Progress]:
        """Give the latest batch of each partition of a topic. Offsets mean nothing in another cluster."""
        ...

    async def plan(self, plan: BatchPlan) -> None:
        """Write the bounds of a batch down, for all its partitions at once. Repeating it changes nothing."""
        ...

    async def append(self, plan: BatchPlan, rows: Sequence[UsageRow]) -> None:
        """Insert the rows of a batch. A repeat with the plan's token is not inserted again, whatever the rows are."""
        ...

    async def complete(self, plan: BatchPlan) -> None:
        """Write down that a batch is inserted. Partitions that are part of a later one stay there; repeating changes nothing."""
        ...

    async def find(self, org_id: str, generation_id: str) -> UsageRow | None:
        """Give the event of a generation of this organisation, of the highest rank."""
        ...

    async def totals(self, question: UsageQuestion) -> Sequence[UsageTotals]:
        """Add usage up, each event once: largest cost first, days in order, one row for the total."""
        ...


class DeadLetters(Protocol):
    """Where records that break a rule go, for people to look at."""

    async def send(self, letter: DeadLetter) -> None:
        """Set a record aside, durable when it returns. May be repeated for the same record after a crash.

        Raises:
            DeadLettersUnavailableError: it could not be set aside.
        """
        ...
