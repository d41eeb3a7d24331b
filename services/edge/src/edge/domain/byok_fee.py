"""The fee for requests that an organisation's own provider key pays for.

Source: OpenRouter's rule: a part of the list price, from credits, above an allowance of list price in each month.
"""

from __future__ import annotations

from dataclasses import dataclass

from contracts.spend import SpendInterval
from edge.domain.principal import Org, day_of


@dataclass(frozen=True, slots=True)
class ByokFee:
    """A fee in millionths of the list price, above an allowance in nano-dollars a month (UTC)."""

    above_ppm: int
    allowance: int

    def ppm(self, org: Org, now_ms: int) -> int:
        """The fee that holds for an organisation at a moment, by what it had spent when that was published last."""
        spent = org.byok_spend.within(SpendInterval.MONTHLY, day_of(now_ms), with_byok=True)
        return self.above_ppm if spent >= self.allowance else 0


NO_FEE = ByokFee(0, 0)
