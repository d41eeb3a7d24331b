"""What the ledger says of usage. Amounts in nano-dollars."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID


class LedgerSum(NamedTuple):
    """Generations of one organisation that ended within an hour at one price version.

    `cost` and `provider_cost` are those of the settled events, `ledger` is what the entries say that callers were charged; entries
    without a settled event count in the hour in which they were posted.
    """

    org_id: UUID
    hour: datetime
    price_version: str
    events: int
    cost: int
    provider_cost: int
    ledger: int
    unreconciled: int


class LedgerFigure(NamedTuple):
    """One generation. `ledger` is what the entries say that its caller was charged; without a settled event, all that there is."""

    event_id: UUID
    generation_id: str
    rank: int
    cost: int
    provider_cost: int
    ledger: int


class ReconciliationStore(Protocol):
    """The ledger's side of a comparison."""

    async def sums(self, start: datetime, end: datetime) -> Sequence[LedgerSum]:
        """Add up what was settled of generations that ended in a period, by organisation, hour and price version."""
        ...

    def figures(self, org_id: UUID, hour: datetime, price_version: str) -> AsyncIterator[Sequence[LedgerFigure]]:
        """List the generations of a sum, page by page, in the order of their events."""
        ...
