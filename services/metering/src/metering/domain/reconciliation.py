"""What the usage events say, for a comparison with other books. Amounts in nano-dollars."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from contracts import reconciliation
from metering.domain.usage import UnixMs


class UsageSum(NamedTuple):
    """Generations of one organisation that ended within an hour (Unix seconds of its start) at one price version."""

    org_id: str
    hour: int
    price_version: str
    events: int
    cost: int
    provider_cost: int
    unreconciled: int


class UsageFigure(NamedTuple):
    """One generation."""

    event_id: str
    generation_id: str
    rank: int
    cost: int
    provider_cost: int


class ProviderCharge(NamedTuple):
    """What a provider is owed for one generation, by its own id of it."""

    upstream_id: str
    generation_id: str
    provider_cost: int


class ReconciliationStore(Protocol):
    """The usage events' side of a comparison."""

    async def sums(self, start: UnixMs, end: UnixMs) -> Sequence[UsageSum]:
        """Add up what ended in a period, each generation once, by organisation, hour and price version."""
        ...

    async def figures(self, org_id: str, hour: UnixMs, price_version: str) -> Sequence[UsageFigure]:
        """List the generations of a sum, in the order of their events."""
        ...

    async def charges(self, provider: str, start: UnixMs, end: UnixMs) -> Sequence[ProviderCharge]:
        """List what a provider is owed for answers that ended in a period, its customers' own keys left out."""
        ...


class Ledger(Protocol):
    """The ledger's side, which another service owns."""

    async def sums(self, start: datetime, end: datetime) -> dict[reconciliation.Group, reconciliation.UsageSum]:
        """Add up what was settled in a period.

        Raises:
            LedgerUnavailableError: its owner does not answer.
        """
        ...
