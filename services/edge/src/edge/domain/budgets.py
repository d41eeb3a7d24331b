"""What the keys of a workspace may spend together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from contracts.money import NanoUsd, usd_text
from contracts.spend import SpendInterval
from edge.domain.errors import BudgetError

# From the broadest to the narrowest, which is the order in which an exceeded one is named.
_BREADTH: Final = (SpendInterval.NEVER, SpendInterval.MONTHLY, SpendInterval.WEEKLY, SpendInterval.DAILY)
_NAMES: Final = {
    SpendInterval.NEVER: "lifetime",
    SpendInterval.MONTHLY: "monthly",
    SpendInterval.WEEKLY: "weekly",
    SpendInterval.DAILY: "daily",
}


@dataclass(frozen=True, slots=True)
class WorkspaceBudget:
    """A budget with what had been spent of it when this was written down.

    Attributes:
        interval: how often it is there anew; NEVER is for good.
        day: UTC day that `spent` is of.
    """

    workspace_id: str
    interval: SpendInterval
    limit: NanoUsd
    spent: NanoUsd
    day: date

    def is_exceeded(self, today: date) -> bool:
        """Whether nothing is left of it on a day; what was spent in a period that is over does not count."""
        is_over = self.interval.starts(today) > self.interval.starts(self.day)
        return not is_over and self.spent >= self.limit


def check_budgets(budgets: Sequence[WorkspaceBudget], workspace_id: str, today: date) -> None:
    """Check that a workspace may spend.

    The figures are those that were last published, a second old or so: they refuse early, and what costs nothing too. That
    a budget is not overrun is up to leases, which hold on it.

    Raises:
        BudgetError: a budget is spent; the broadest one is named.
    """
    if not budgets:
        return
    exceeded = {
        budget.interval: budget
        for budget in budgets
        if budget.workspace_id == workspace_id and budget.is_exceeded(today)
    }
    for interval in _BREADTH:
        if interval in exceeded:
            raise exceeded_budget(interval, exceeded[interval].limit)


def exceeded_budget(interval: SpendInterval, limit: int) -> BudgetError:
    """Name a budget that is spent; its limit is in nano-dollars."""
    dollars = _cents(usd_text(limit))
    return BudgetError(f"Workspace {_NAMES[interval]} budget of ${dollars} exceeded. Contact your org admin.")


def _cents(dollars: str) -> str:
    """With two decimals at least, as amounts are written."""
    whole, _, decimals = dollars.partition(".")
    return f"{whole}.{decimals.ljust(2, '0')}"
