"""A UsageLog in memory, which can be told to fail."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime

from metering.domain.batch import BatchPlan, DeadLetter, Progress
from metering.domain.errors import DeadLettersUnavailableError, UsageLogUnavailableError
from metering.domain.usage import Dimension, UsageQuestion, UsageRow, UsageTotals


class MemoryUsageLog:
    """Keeps every inserted row, and counts the best of each event, as the store does."""

    def __init__(self) -> None:
        self.rows: list[UsageRow] = []
        self.batches: dict[tuple[str, str, int], Progress] = {}
        self.steps: list[str] = []
        self.down = False
        self._tokens: set[str] = set()

    async def progress(self, cluster_id: str, topic: str) -> Sequence[Progress]:
        """Give the latest batch of each partition of a topic."""
        self._reach("progress")
        return [entry for key, entry in sorted(self.batches.items()) if key[:2] == (cluster_id, topic)]

    async def plan(self, plan: BatchPlan) -> None:
        """Write the bounds of a batch down, for all its partitions at once."""
        self._reach("plan")
        self._write(plan, done=False)

    async def append(self, plan: BatchPlan, rows: Sequence[UsageRow]) -> None:
        """Insert the rows of a batch, unless its token was used."""
        self._reach("append")
        if rows and plan.token not in self._tokens:
            self._tokens.add(plan.token)
            self.rows += rows

    async def complete(self, plan: BatchPlan) -> None:
        """Write down that a batch is inserted. Partitions that are part of a later one stay there."""
        self._reach("complete")
        self._write(plan, done=True)

    async def find(self, org_id: str, generation_id: str) -> UsageRow | None:
        """Give the event of a generation of this organisation, of the highest rank."""
        self._reach("find")
        found = (row for row in self._final() if (row.org_id, row.generation_id) == (org_id, generation_id))
        return next(found, None)

    async def totals(self, question: UsageQuestion) -> Sequence[UsageTotals]:
        """Add usage up, each event once: largest cost first, days in order, one row for the total."""
        self._reach("totals")
        groups: dict[str, list[UsageRow]] = defaultdict(list)
        for row in self._final():
            if row.org_id == question.org_id and question.start <= row.started_at < question.end:
                groups[_value(row, question.dimension)].append(row)
        if question.dimension is Dimension.TOTAL:
            groups.setdefault("", [])
        totals = [
            UsageTotals(
                value=value,
                requests=len(rows),
                prompt_tokens=sum(row.prompt_tokens for row in rows),
                completion_tokens=sum(row.completion_tokens for row in rows),
                reasoning_tokens=sum(row.reasoning_tokens for row in rows),
                cost_nano_usd=sum(row.cost_nano_usd for row in rows),
            )
            for value, rows in groups.items()
        ]
        if question.dimension is Dimension.DAY:
            return sorted(totals)
        return sorted(totals, key=lambda total: (-total.cost_nano_usd, total.value))

    def _final(self) -> list[UsageRow]:
        best: dict[tuple[str, str], UsageRow] = {}
        for row in self.rows:
            known = best.get((row.org_id, row.event_id))
            if known is None or row.rank >= known.rank:
                best[row.org_id, row.event_id] = row
        return list(best.values())

    def _write(self, plan: BatchPlan, *, done: bool) -> None:
        for span in plan.spans:
            known = self.batches.get((plan.cluster_id, plan.topic, span.partition))
            if known is None or (plan.planned_at, done) >= (known.plan.planned_at, known.done):
                progress = Progress(span.partition, plan, done)
                self.batches[plan.cluster_id, plan.topic, span.partition] = progress

    def _reach(self, step: str) -> None:
        if self.down:
            raise UsageLogUnavailableError("the store is down")
        self.steps.append(step)


class MemoryDeadLetters:
    """Keeps the letters, or refuses them."""

    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []
        self.down = False

    async def send(self, letter: DeadLetter) -> None:
        """Keep a letter."""
        if self.down:
            raise DeadLettersUnavailableError("the broker is down")
        self.letters.append(letter)


def _value(row: UsageRow, dimension: Dimension) -> str:
    match dimension:
        case Dimension.MODEL:
            return row.model
        case Dimension.KEY:
            return row.key_id
        case Dimension.DAY:
            return datetime.fromtimestamp(row.started_at / 1_000, UTC).strftime("%Y-%m-%d")
        case Dimension.TOTAL:
            return ""
