"""A statement of the ledger beside what the store of usage events counts for the same month.

The two are kept apart from each other: the ledger in PostgreSQL charges, the store in ClickHouse is asked. Where they differ
the ledger is what was charged, and the statement says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from contracts.errors import ErrorReason
from edge.domain.errors import DependencyError, RefusedError
from edge.insight_ports import Analytics
from turnpike.accounts.v1 import payment_service_pb2
from turnpike.metering.v1 import analytics_service_pb2

# Years in which events are kept; in others there are none.
_EARLIEST: Final = 2020
_LATEST: Final = 2100


@dataclass(frozen=True, slots=True)
class ModelDifference:
    """A model of which the two do not say the same; amounts in nano-dollars."""

    model: str
    ledger_nano: int
    counted_nano: int
    ledger_generations: int
    counted_generations: int


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Sums of the month, in nano-dollars and generations, and the models that differ."""

    ledger_nano: int
    counted_nano: int
    ledger_generations: int
    counted_generations: int
    differences: Sequence[ModelDifference]

    @property
    def difference_nano(self) -> int:
        """What the store counts beyond the ledger; negative for less."""
        return self.counted_nano - self.ledger_nano


async def reconciled(
    analytics: Analytics, org_id: str, month: str, statement: payment_service_pb2.GetStatementResponse
) -> Reconciliation | None:
    """Count the month a second time; None while nobody can: a statement is worth as much without."""
    first = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
    if not _EARLIEST <= first.year < _LATEST:
        return None
    after = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    request = analytics_service_pb2.QueryEndedUsageRequest(
        org_id=org_id, start=Timestamp(seconds=int(first.timestamp())), end=Timestamp(seconds=int(after.timestamp()))
    )
    try:
        counted = await analytics.ended_usage(request)
    except DependencyError:
        return None
    except RefusedError as error:
        if error.reason not in (ErrorReason.TIMEOUT, ErrorReason.OVERLOADED):
            raise
        return None
    return compared(statement, counted)


def compared(
    statement: payment_service_pb2.GetStatementResponse, counted: analytics_service_pb2.QueryEndedUsageResponse
) -> Reconciliation:
    """Compare them, model by model."""
    ledger = {each.model: (each.cost_nano_usd, each.generations) for each in statement.usage}
    store = {each.model: (each.cost_nano_usd, each.generations) for each in counted.rows}
    nothing = (0, 0)
    differences = [
        ModelDifference(model, mine[0], theirs[0], mine[1], theirs[1])
        for model in sorted({*ledger, *store})
        if (mine := ledger.get(model, nothing)) != (theirs := store.get(model, nothing))
    ]
    return Reconciliation(
        sum(cost for cost, _ in ledger.values()),
        sum(cost for cost, _ in store.values()),
        sum(count for _, count in ledger.values()),
        sum(count for _, count in store.values()),
        differences,
    )
