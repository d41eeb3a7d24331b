"""How many requests are sent to a second endpoint while the first one is only slow: few, because both cost money.

A copy is sent when the first token takes longer than 95 % of the endpoint's answers take, so about one request in twenty
would ask for one; the budget allows one in fifty. Source: Dean and Barroso, "The Tail at Scale", hedged requests.
"""

from __future__ import annotations

from dataclasses import dataclass

SHARE = 0.02
# So many may be saved up, so that a moment of slowness can be hedged and an hour of it cannot.
MOST_SAVED = 10.0


@dataclass(slots=True)
class HedgeBudget:
    """The copies that one router may send."""

    saved: float = 1.0

    def began(self) -> None:
        """Note a request that could be hedged."""
        self.saved = min(MOST_SAVED, self.saved + SHARE)

    def take(self) -> bool:
        """Take one copy out of the budget; False when there is none."""
        if self.saved < 1.0:
            return False
        self.saved -= 1.0
        return True
