"""What the keys of a workspace may spend together, and what they have."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import IntEnum
from uuid import UUID


class BudgetInterval(IntEnum):
    """How often a budget is there anew; the numbers are those of the wire, and a higher one is broader."""

    DAILY = 1
    WEEKLY = 2
    MONTHLY = 3
    LIFETIME = 4


@dataclass(frozen=True, slots=True)
class BudgetState:
    """A budget with what was spent in the interval that `day` is in."""

    workspace_id: UUID
    interval: BudgetInterval
    limit: int
    spent: int
    day: date
