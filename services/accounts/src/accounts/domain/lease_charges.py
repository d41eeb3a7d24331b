"""What settled usage takes from leases. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from uuid import UUID

from accounts.domain.postings import Posted, UsageFact

Lent = tuple[UUID, UUID]
"""An organisation and a lease of it."""


def lease_charges(facts: Iterable[UsageFact], posted: Mapping[UUID, Posted]) -> dict[Lent, int]:
    """What each lease is charged, in nano-dollars: of a correction the difference, which may be negative.

    Args:
        facts: events that are posted, each once.
        posted: what the books held of them before.
    """
    charges: dict[Lent, int] = defaultdict(int)
    for fact in facts:
        if fact.lease_id is not None:
            before = posted.get(fact.event_id)
            charges[fact.org_id, fact.lease_id] += fact.cost - (before.cost if before is not None else 0)
    return {lent: nano for lent, nano in charges.items() if nano}


def overshoot(facts: Iterable[UsageFact], posted: Mapping[UUID, Posted]) -> int:
    """What events cost beyond their holds, in nano-dollars, and did not before: how far credit can be overspent (B5)."""
    total = 0
    for fact in facts:
        if fact.hold > 0:
            before = posted.get(fact.event_id)
            total += max(fact.cost - max(fact.hold, before.cost if before is not None else 0), 0)
    return total
