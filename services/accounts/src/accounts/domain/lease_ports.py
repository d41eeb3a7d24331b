"""What leases need of a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from accounts.domain.lease_book import Outcome
from accounts.domain.leases import Ask


class LeaseStore(Protocol):
    """Leases and the accounts that they hold on."""

    async def answer(
        self, asks: Mapping[UUID, Sequence[Ask]], now: datetime | None = None, *, may_wait: bool
    ) -> Mapping[UUID, Sequence[Outcome]]:
        """Do what is asked for of each organisation, in order, in one transaction; one outcome for each.

        Args:
            asks: by organisation.
            now: the moment; None for that of the store's own clock, by which windows are the same whichever process lends.
            may_wait: whether to wait for organisations at which somebody else is, such as settlement.

        Returns:
            The outcomes by organisation, without those that do not exist or, unless it may wait, that somebody else is at.

        Raises:
            StoreUnavailableError: nothing is known to have been done; asking again is safe.
        """
        ...

    async def due(self, now: datetime) -> Sequence[UUID]:
        """Organisations with leases that nothing can settle any more, the longest due first; some of them, if many."""
        ...

    async def close_due(self, org_id: UUID, now: datetime) -> tuple[int, int]:
        """Close such leases of one organisation: how many, and the nano-dollars that became free.

        None while somebody else is at the organisation: it is left for the next time.
        """
        ...

    async def forget(self, now: datetime) -> int:
        """Delete leases that were closed long ago, what only they needed, and windows that are over; how many of the first."""
        ...

    async def mismatches(self) -> int:
        """How many accounts hold anything but the sum of their open leases (B6): 0."""
        ...
