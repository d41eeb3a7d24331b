"""What a key and the guardrails that bind it make of a request, before anything is set aside for it."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from contracts.guardrails import FilterAction, GuardrailPolicy, default_guardrail_id
from dialects.chat import ChatRequest
from edge.domain.errors import ContentBlockedError, DependencyError
from edge.domain.org_limits import limit_sets_of
from edge.domain.principal import Key, Principal
from edge.domain.rate_limits import Claim, LimitSet, Owned, Reservation
from edge.domain.windows import LimitOwner
from edge.guardrails.content_filters import Findings, Passage, PatternError, apply_filters
from edge.guardrails.rules import BoundGuardrail, GuardrailScope, Rules, rules_of
from edge.lent_limits import LentLimits
from edge.ports import GuardrailDirectory
from servicekit.clock import Clock
from turnpike.router.v1 import policy_pb2

# Combinations of guardrails that are kept ready; each is a handful of compiled expressions.
_MAX_RULES: Final = 2_000
# Text that is looked through on the spot. More would hold up everybody else, so it is done aside, a little at a time.
_PROMPT_BYTES: Final = 64 * 1024
_ASIDE: Final = 2
_LOOK_S: Final = 0.02
_PATIENCE_S: Final = 1.0


class _UnknownGuardrailError(DependencyError):
    """A guardrail that binds a key has not been published yet, as far as this edge knows."""


@dataclass(frozen=True, slots=True)
class Ruled:
    """A request as it may go on.

    Attributes:
        request: with everything replaced that is to be.
        policy: where it may go; None for anywhere.
        stages: what was done to it, for callers who ask.
        limits: the rate limits that hold for it.
        has_budget: whether a guardrail bounds what the key or its member spends.
    """

    request: ChatRequest = field(repr=False)
    policy: policy_pb2.RoutingPolicy | None
    stages: tuple[policy_pb2.PipelineStage, ...]
    limits: tuple[LimitSet, ...]
    has_budget: bool = False


@dataclass(frozen=True, slots=True)
class RuledTexts:
    """The texts of a request as they may go on, and the rest of what its rules say: see `Ruled`."""

    texts: tuple[str, ...] = field(repr=False)
    is_changed: bool
    policy: policy_pb2.RoutingPolicy | None
    stages: tuple[policy_pb2.PipelineStage, ...]
    limits: tuple[LimitSet, ...]
    has_budget: bool


class RequestRules:
    """Applies the rules of keys and guardrails."""

    def __init__(self, directory: GuardrailDirectory, limits: LentLimits, clock: Clock) -> None:
        """Make the use case.

        Args:
            directory: has the guardrails.
            limits: keeps rate limits.
            clock: to wait with.
        """
        self._directory = directory
        self._limits = limits
        self._clock = clock
        self._ready: OrderedDict[tuple[tuple[str, int, str], ...], Rules] = OrderedDict()
        self._aside = asyncio.Semaphore(_ASIDE)

    async def apply(self, principal: Principal, request: ChatRequest, now_ms: int) -> Ruled:
        """Apply what binds a caller to a request.

        Raises:
            BudgetExceededError: a budget is used up.
            ContentBlockedError: the request holds what a filter blocks.
            DependencyError: a guardrail that binds the key is not known here, so nothing can be said.
        """
        ruled = await self.apply_to_texts(principal, list(_passages(request.document)), now_ms)
        if ruled.is_changed:
            request = request.with_members({"messages": _rewritten(request.document, ruled.texts)})
        return Ruled(request, ruled.policy, ruled.stages, ruled.limits, ruled.has_budget)

    async def apply_to_texts(self, principal: Principal, passages: Sequence[Passage], now_ms: int) -> RuledTexts:
        """Apply what binds a caller to the texts of a request of any kind.

        Args:
            principal: who asks.
            passages: the texts, in an order in which the caller can put them back.
            now_ms: Unix milliseconds.

        Raises:
            BudgetExceededError: a budget is used up.
            ContentBlockedError: a text holds what a filter blocks.
            DependencyError: a guardrail that binds the key is not known here, so nothing can be said.
        """
        key = principal.key
        try:
            rules = self._rules(key)
        except _UnknownGuardrailError:
            rules = await self._rules_when_known(key)
        limits: list[LimitSet] = []
        if key.rate_limits:
            owned = Owned(LimitOwner.KEY, key.org_id, key.key_id)
            limits.append(LimitSet(f"key/{key.key_id}", "this API key", key.rate_limits, owned))
        findings: Findings | None = None
        if rules is not None:
            rules.check_budgets(key, now_ms)
            limits += rules.limit_sets(key)
            if rules.filters:
                findings = await self._filtered(rules, passages)
        limits += limit_sets_of(principal.org.rate_limits, key.org_id, key.workspace, key.key_id)
        return RuledTexts(
            texts=findings.passages if findings is not None else tuple(passage.text for passage in passages),
            is_changed=findings is not None and bool(findings.redacted),
            policy=_policy(key, rules.policies if rules is not None else ()),
            stages=tuple(_stages(rules, findings)) if rules is not None and findings is not None else (),
            limits=tuple(limits),
            has_budget=rules is not None and rules.has_budget,
        )

    async def reserve(self, ruled: Ruled | RuledTexts, claim: Claim, now_ms: int) -> Reservation:
        """Reserve what a request could use of its rate limits. Waits for nothing when what is lent to this edge covers it.

        Raises:
            FrozenOrgError: the organisation may not spend.
            RateLimitError: a limit does not allow it.
        """
        return await self._limits.reserve(ruled.limits, claim, now_ms)

    async def _rules_when_known(self, key: Key) -> Rules | None:
        """Wait for a guardrail that a key names: a key comes by another way, and may be here a moment before it."""
        deadline = self._clock.monotonic() + _PATIENCE_S
        while True:
            await self._clock.sleep(_LOOK_S)
            try:
                return self._rules(key)
            except _UnknownGuardrailError:
                if self._clock.monotonic() >= deadline:
                    raise

    def _rules(self, key: Key) -> Rules | None:
        bound = tuple(self._bound(key))
        if not bound:
            return None
        name = tuple((each.guardrail.guardrail_id, each.guardrail.revision, each.scope.value) for each in bound)
        rules = self._ready.get(name)
        if rules is None:
            try:
                rules = rules_of(bound)
            except PatternError:
                # Checked when it was made; an edge that cannot keep it serves nobody whom it binds.
                raise DependencyError("accounts") from None
            self._ready[name] = rules
            if len(self._ready) > _MAX_RULES:
                self._ready.popitem(last=False)
        else:
            self._ready.move_to_end(name)
        return rules

    def _bound(self, key: Key) -> Iterator[BoundGuardrail]:
        for guardrail_id, scope in (
            (key.guardrail_id, GuardrailScope.KEY),
            (key.member_guardrail_id, GuardrailScope.MEMBER),
        ):
            if not guardrail_id or self._directory.is_deleted(guardrail_id):
                continue
            guardrail = self._directory.guardrail(guardrail_id)
            if guardrail is None or guardrail.org_id != key.org_id:
                raise _UnknownGuardrailError("accounts")
            yield BoundGuardrail(guardrail, scope)
        default = self._directory.guardrail(default_guardrail_id(key.workspace))
        if default is not None and default.org_id == key.org_id:
            yield BoundGuardrail(default, GuardrailScope.WORKSPACE)

    async def _filtered(self, rules: Rules, passages: Sequence[Passage]) -> Findings:
        if sum(len(passage.text) for passage in passages) <= _PROMPT_BYTES:
            findings = apply_filters(rules.filters, passages)
        else:
            async with self._aside:
                findings = await asyncio.to_thread(apply_filters, rules.filters, passages)
        if findings.blocked:
            raise ContentBlockedError(findings.blocked)
        return findings


def _policy(key: Key, policies: Iterable[GuardrailPolicy]) -> policy_pb2.RoutingPolicy | None:
    message = policy_pb2.RoutingPolicy()
    if key.access.models:
        message.allowed_models.add(names=key.access.models)
    if key.access.providers:
        message.allowed_providers.add(names=key.access.providers)
    zero_retention: set[str] = set()
    for policy in policies:
        if policy.allowed_models is not None:
            message.allowed_models.add(names=policy.allowed_models)
        if policy.allowed_providers is not None:
            message.allowed_providers.add(names=policy.allowed_providers)
        message.ignored_models.extend(policy.ignored_models or ())
        message.ignored_providers.extend(policy.ignored_providers or ())
        zero_retention.update(group for group, wanted in policy.retention.items() if wanted)
        message.deny_paid_training |= policy.paid_training is False
        message.deny_free_training |= policy.free_training is False
        message.deny_free_publication |= policy.free_publication is False
    message.zero_retention_groups.extend(sorted(zero_retention))
    return message if message.ByteSize() else None


def _passages(document: Mapping[str, Any]) -> Iterator[Passage]:
    """The text of the messages, in order."""
    for message in document["messages"]:
        by_user = message.get("role") == "user"
        content = message.get("content")
        if isinstance(content, str):
            yield Passage(content, by_user)
        for part in content if isinstance(content, list) else ():
            if part.get("type") == "text":
                yield Passage(part["text"], by_user)


def _rewritten(document: Mapping[str, Any], texts: Sequence[str]) -> list[dict[str, Any]]:
    """The messages with other texts, which come in the order of `_passages`."""
    left = iter(texts)
    messages = []
    for message in document["messages"]:
        content = message.get("content")
        if isinstance(content, str):
            message = {**message, "content": next(left)}
        elif isinstance(content, list):
            parts = [{**part, "text": next(left)} if part.get("type") == "text" else part for part in content]
            message = {**message, "content": parts}
        messages.append(message)
    return messages


def _stages(rules: Rules, findings: Findings) -> Iterator[policy_pb2.PipelineStage]:
    for action, found in ((FilterAction.REDACT, findings.redacted), (FilterAction.FLAG, findings.flagged)):
        if found:
            bound = rules.bound[0]
            yield policy_pb2.PipelineStage(
                type="guardrail",
                name="content-filter",
                summary=f"{action.value}: {', '.join(found)}",
                data_json=json.dumps({"action": action.value, "matches": found}).encode(),
                guardrail_id=bound.guardrail.guardrail_id if len(rules.bound) == 1 else "",
                guardrail_scope=bound.scope.value if len(rules.bound) == 1 else "",
            )
