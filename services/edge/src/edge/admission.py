"""Whether a request may start, as far as money goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edge.domain.budgets import exceeded_budget
from edge.domain.errors import (
    BudgetExceededError,
    DisabledKeyError,
    EdgeError,
    FrozenOrgError,
    InsufficientCreditError,
    KeyLimitError,
    NegativeBalanceError,
)
from edge.domain.exhaustion import Refusal, RefusalReason, SpendingAccount
from edge.domain.principal import Principal
from edge.domain.quote import Quote
from edge.domain.wallet import Ticket, WalletScope
from edge.guardrails.rules import described_budget
from edge.ports import GuardrailDirectory
from edge.wallets import ExhaustedError, Wallets

# Where an answer has no limit, a hold may be this part of the balance: the longest answers are paid for in advance by those who have
# plenty, and many requests at the same time fit into every balance.
EASILY: Final = 50
# Each round finds less than the one before, because others took it; then the caller hears of it.
_ROUNDS: Final = 3
_HINTS: Final = {
    SpendingAccount.CREDIT: "",
    SpendingAccount.KEY: " To increase, raise the limit of this API key.",
    SpendingAccount.WORKSPACE: " To increase, raise the budget of this workspace.",
    SpendingAccount.GUARDRAIL: " To increase, raise the budget of the guardrail.",
}


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that may start.

    Attributes:
        ticket: what is set aside for it.
        limit: most tokens of one choice that this pays for, where the caller sets no limit; 0 for no such bound.
    """

    ticket: Ticket
    limit: int


class Admission:
    """Sets credit aside, or refuses."""

    def __init__(self, wallets: Wallets, directory: GuardrailDirectory) -> None:
        """Make the use case.

        Args:
            wallets: hold credit.
            directory: knows guardrails by name.
        """
        self._wallets = wallets
        self._directory = directory

    async def admit(self, principal: Principal, quote: Quote, now_ms: int, *, has_budget: bool = False) -> Admitted:
        """Set credit aside. Waits for nothing when what is lent to this edge covers it.

        Args:
            principal: who pays.
            quote: how much the request could cost.
            now_ms: Unix milliseconds.
            has_budget: whether a guardrail bounds what the key or its member spends.

        Raises:
            BudgetError: the key's workspace has spent a budget.
            BudgetExceededError: a budget of a guardrail is spent.
            KeyLimitError: the key has spent its limit.
            NegativeBalanceError: the organisation owes.
            InsufficientCreditError: the hold does not fit into what is left.
            FrozenOrgError: the organisation may not spend.
            CredentialError: the key may not be used any more.
            DependencyError: nothing is lent that covers it, and accounts does not answer.
        """
        key, org = principal.key, principal.org
        # What was last published says no at once, for requests that cost nothing too.
        principal.check_budgets(now_ms)
        if key.limit is not None and key.counted(now_ms) >= key.limit:
            raise KeyLimitError
        if org.balance < 0:
            raise NegativeBalanceError
        if not quote.hold.amount:
            return Admitted(Ticket(0), quote.limit)
        is_bound = has_budget or key.limit is not None or org.has_budget(key.workspace)
        scope = WalletScope(org.org_id, key.key_id if is_bound else "")
        offered = quote
        for _ in range(_ROUNDS):
            try:
                return Admitted(await self._wallets.take(scope, offered.hold.amount), offered.limit)
            except ExhaustedError as exhausted:
                last, shorter = exhausted, quote.within(exhausted.available)
                if shorter is None or shorter.hold.amount >= offered.hold.amount:
                    break
                offered = shorter
        raise self._error(last.refusal, quote, last.available)

    def _error(self, refusal: Refusal, quote: Quote, available: int) -> EdgeError:
        """Say to a caller why there is no credit."""
        if refusal.reason is RefusalReason.ORG_FROZEN:
            return FrozenOrgError()
        if refusal.reason is RefusalReason.KEY_UNUSABLE:
            return DisabledKeyError()
        if refusal.account is SpendingAccount.CREDIT and refusal.available + refusal.held < 0:
            return NegativeBalanceError()
        affordable = min(quote.affordable(available), quote.hold.output_tokens)
        if not affordable and refusal.available <= 0:
            match refusal.account:
                case SpendingAccount.KEY:
                    return KeyLimitError()
                case SpendingAccount.WORKSPACE:
                    return exceeded_budget(refusal.interval, refusal.limit)
                case SpendingAccount.GUARDRAIL:
                    return self._guardrail_error(refusal)
        return InsufficientCreditError(quote.hold.output_tokens, affordable, _HINTS[refusal.account])

    def _guardrail_error(self, refusal: Refusal) -> EdgeError:
        guardrail = self._directory.guardrail(refusal.guardrail_id)
        name = guardrail.name if guardrail is not None else refusal.guardrail_id
        return BudgetExceededError(described_budget(refusal.interval, refusal.limit), name)
