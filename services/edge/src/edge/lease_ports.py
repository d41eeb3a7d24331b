"""Who lends credit, and shares of rate limits, to this edge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from edge.domain.exhaustion import Refusal
from edge.domain.wallet import Statement, WalletScope


@dataclass(frozen=True, slots=True)
class Grant:
    """What was lent, or why nothing was.

    Attributes:
        granted: nano-dollars, or what a rate limit counts, since the lease was made; of a lease that was refused from the start 0.
        time_to_live: seconds, from the moment at which the call was sent, in which requests may start on it; 0 leaves the time
            as it was.
        is_scarce: so little is left in the account that each request is lent for by itself; not said where nothing was needed.
        refusal: why nothing was added although something was needed, or why the lease is not extended; None otherwise.
        edges: that borrow from the organisation, this one included; 0 where it is not said.
        window_ends_in: seconds, from the moment at which the call was sent, to the end of the window of a rate limit; None of credit.
    """

    granted: int
    time_to_live: float
    is_scarce: bool = False
    refusal: Refusal | None = None
    edges: int = 0
    window_ends_in: float | None = None


class LeaseLender(Protocol):
    """Lends credit, and of windows of rate limits. Every method may raise DependencyError, which says nothing about what is left."""

    async def acquire(self, scope: WalletScope, lease_id: str, needed: int, wanted: int) -> Grant | None:
        """Ask for a lease. The same one again gets the same answer.

        Args:
            scope: whose credit, or which window.
            lease_id: a UUID that names it.
            needed: the least that helps, more than 0.
            wanted: what would be liked, `needed` at least.

        Returns:
            The answer; None when there is no such organisation, key or limit.
        """
        ...

    async def renew(self, scope: WalletScope, statement: Statement, needed: int, wanted: int) -> Grant | None:
        """Extend a lease, add to it, and give back what the statement says.

        Args:
            scope: of the lease.
            statement: how it stands.
            needed: the least to add that helps; with 0 nothing is added.
            wanted: what to add at best, `needed` at least.

        Returns:
            The answer; None when the lease has ended.
        """
        ...

    async def release(self, scope: WalletScope, statement: Statement) -> None:
        """End a lease. One that has ended already changes nothing."""
        ...
