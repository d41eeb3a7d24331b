"""What the guardrails that bind a key allow together.

Allow-lists must all be met, data policies and filters add up, budgets and rate limits each count for themselves: those of the
key's own guardrail for the key, those of its maker's for the member, those of the workspace for both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from contracts.guardrails import Guardrail, GuardrailPolicy
from contracts.money import usd_text
from contracts.rate_limits import RateLimit
from contracts.spend import Spend, SpendInterval
from edge.domain.errors import BudgetExceededError
from edge.domain.principal import Key, day_of
from edge.domain.rate_limits import LimitSet, Owned
from edge.domain.windows import LimitOwner
from edge.guardrails.content_filters import CompiledFilter, combined, compile_builtin, compile_filter


class GuardrailScope(StrEnum):
    """Why a guardrail binds a key, in the words of the public API."""

    KEY = "api_key"
    MEMBER = "member"
    WORKSPACE = "workspace"


@dataclass(frozen=True, slots=True)
class BoundGuardrail:
    """A guardrail that binds a key."""

    guardrail: Guardrail
    scope: GuardrailScope


@dataclass(frozen=True, slots=True)
class Rules:
    """What several guardrails say together: everything about them that does not depend on the moment.

    Attributes:
        bound: the guardrails.
        filters: what is looked for in requests.
    """

    bound: tuple[BoundGuardrail, ...]
    filters: tuple[CompiledFilter, ...]

    @property
    def policies(self) -> Iterable[GuardrailPolicy]:
        """What each of them says."""
        return (each.guardrail.policy for each in self.bound)

    @property
    def has_budget(self) -> bool:
        """Whether one of them bounds what is spent."""
        return any(each.guardrail.policy.limit is not None for each in self.bound)

    def check_budgets(self, key: Key, now_ms: int) -> None:
        """Check that no budget was used up when this was published: early, and for what costs nothing too.

        Args:
            key: that is bound, with what it and its maker spent.
            now_ms: Unix milliseconds.

        Raises:
            BudgetExceededError: one is.
        """
        for each in self.bound:
            policy = each.guardrail.policy
            if policy.limit is None:
                continue
            for spend in _spends(each.scope, key):
                spent = spend.within(policy.reset_interval, day_of(now_ms), with_byok=policy.include_byok_in_budgets)
                if spent >= policy.limit:
                    budget = described_budget(policy.reset_interval, policy.limit)
                    raise BudgetExceededError(budget, each.guardrail.name)

    def limit_sets(self, key: Key) -> Iterable[LimitSet]:
        """The rate limits that they put on a key, and on its maker."""
        for each in self.bound:
            limits = each.guardrail.policy.rate_limits
            if limits:
                yield from _limit_sets(each, key, limits)


def rules_of(bound: Iterable[BoundGuardrail]) -> Rules:
    """Put guardrails together.

    Raises:
        PatternError: one of them has a filter that cannot be used.
    """
    guardrails = tuple(bound)
    filters = [compile_builtin(entry) for each in guardrails for entry in each.guardrail.policy.builtins]
    filters += [compile_filter(entry) for each in guardrails for entry in each.guardrail.policy.filters]
    return Rules(guardrails, combined(filters))


def _spends(scope: GuardrailScope, key: Key) -> Iterable[Spend]:
    if scope is not GuardrailScope.MEMBER:
        yield key.spend
    if scope is not GuardrailScope.KEY and key.creator_spend is not None:
        yield key.creator_spend


def _limit_sets(each: BoundGuardrail, key: Key, limits: tuple[RateLimit, ...]) -> Iterable[LimitSet]:
    name = each.guardrail.guardrail_id
    if each.scope is not GuardrailScope.MEMBER:
        owned = Owned(LimitOwner.KEY, key.org_id, key.key_id, name)
        yield LimitSet(f"guardrail/{name}/key/{key.key_id}", "this API key", limits, owned)
    if each.scope is not GuardrailScope.KEY and key.creator_user_id:
        owned = Owned(LimitOwner.MEMBER, key.org_id, key.key_id, name)
        yield LimitSet(f"guardrail/{name}/member/{key.creator_user_id}", "this member", limits, owned)


def described_budget(interval: SpendInterval, limit: int) -> str:
    """Name a budget; its limit is in nano-dollars."""
    name = "" if interval is SpendInterval.NEVER else f"{interval.name.lower()} "
    return f"{name}budget of ${usd_text(limit)}"
