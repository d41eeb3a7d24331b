"""What destinations of broadcast need."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from accounts.domain.destinations import (
    ChangedDestination,
    DeliveryReport,
    DeliveryState,
    Destination,
    StoredDestination,
)
from accounts.domain.people import Actor
from contracts.sealed_secrets import SealedSecret


class DestinationStore(Protocol):
    """Destinations, sealed. One of another organisation is as unknown as one that does not exist."""

    async def add(self, destination: Destination, sealed: SealedSecret, actor: Actor) -> None:
        """Store a destination. Raises NotFoundError for the organisation, InvalidFieldError, ForbiddenError for too many."""
        ...

    async def page(
        self, org_id: UUID, workspace_id: UUID, offset: int, limit: int
    ) -> tuple[list[StoredDestination], int]:
        """Return destinations of a workspace, the oldest first, and how many there are."""
        ...

    async def get(self, org_id: UUID, destination_id: UUID) -> StoredDestination:
        """Return a destination. Raises NotFoundError."""
        ...

    async def replace(self, known: Destination, changed: Destination, sealed: SealedSecret, actor: Actor) -> None:
        """Store what a destination is now. Raises AlreadyExistsError when it was changed meanwhile, InvalidFieldError."""
        ...

    async def delete(self, org_id: UUID, destination_id: UUID, actor: Actor, now: datetime) -> None:
        """Delete a destination and what was stored of its configuration. Raises NotFoundError."""
        ...

    async def changed(self, after_revision: int, limit: int) -> Sequence[ChangedDestination]:
        """Return destinations of everybody that changed, in the order of their revisions."""
        ...

    async def under_other_keks(self, current: str, limit: int) -> Sequence[StoredDestination]:
        """Return destinations whose data key is not under this key-encryption key."""
        ...

    async def rewrap(self, destination: Destination, sealed: SealedSecret) -> None:
        """Store the data key of a destination under another key-encryption key."""
        ...


class DeliveryLog(Protocol):
    """What became of deliveries."""

    async def report(self, sender: str, reports: Sequence[DeliveryReport], now: datetime) -> Sequence[UUID]:
        """Keep what a sender says; return the destinations that were switched off because it gave them up."""
        ...

    async def get(self, org_id: UUID, destination_id: UUID) -> tuple[DeliveryState, datetime | None]:
        """Return the sum over all senders, and when a destination was given up. Raises NotFoundError."""
        ...
