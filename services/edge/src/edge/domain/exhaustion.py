"""Why nothing is lent, and what the caller is told then."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from contracts.spend import SpendInterval


class SpendingAccount(StrEnum):
    """What bounds spending."""

    CREDIT = "credit"
    KEY = "key"
    WORKSPACE = "workspace"
    GUARDRAIL = "guardrail"


class RefusalReason(StrEnum):
    """Why nothing is lent."""

    EXHAUSTED = "exhausted"
    ORG_FROZEN = "org_frozen"
    KEY_UNUSABLE = "key_unusable"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing is lent, in nano-dollars.

    Attributes:
        account: what refused; of several that lack room the one with the least.
        available: what is left in it, neither spent nor lent.
        held: what is lent of it to edges at present.
        limit: most that may be spent of it; 0 for credit, which has no limit but the balance.
        interval: how often the limit is there anew.
        guardrail_id: that states the limit; empty for others.
    """

    reason: RefusalReason
    account: SpendingAccount = SpendingAccount.CREDIT
    available: int = 0
    held: int = 0
    limit: int = 0
    interval: SpendInterval = SpendInterval.NEVER
    guardrail_id: str = ""

    @property
    def is_final(self) -> bool:
        """Whether nothing is lent of it, so that nothing can come back to it: only who pays, or raises a limit, changes that."""
        return self.reason is RefusalReason.EXHAUSTED and not self.held
