"""What a generation cost and used: the facts of its usage event. Pure; money only through `contracts.money`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from contracts import money
from contracts.catalog import Endpoint
from contracts.ids import GenerationId, KeyId, OrgId
from contracts.money import Cost, NanoUsd, TokenCounts, UnitPrice
from contracts.operations import Operation
from dialects.answers import FinishReason
from dialects.estimates import estimate_text_tokens
from dialects.tokenizers import TextCount, Tokenizer
from router.domain.attempts import AttemptRecord
from router.domain.policy import ANYWHERE, RoutingPolicy
from router.domain.tokens import CountSource, Tokens
from router.domain.transcript import Transcript

NO_COST = Cost(total=NanoUsd(0), prompt=NanoUsd(0), completion=NanoUsd(0))


class Status(StrEnum):
    """How a generation ended, in the words of the usage event."""

    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls and who pays, as the edge has established it. `data_region` is where the request must stay, if anywhere."""

    org_id: OrgId
    key_id: KeyId
    http_referer: str = ""
    app_title: str = ""
    workspace_id: str = ""
    member_id: str = ""
    user_agent: str = ""
    request_id: str = ""
    app_categories: tuple[str, ...] = ()
    country: str = ""
    private: bool = False
    data_region: str = ""
    byok_revision: int = 0
    """Counts the changes to the organisation's own provider keys; 0 when it has never had one."""
    byok_fee_ppm: int = 0
    """Fee for using them, in millionths of the list price."""
    policy: RoutingPolicy = ANYWHERE
    """Where its requests may go."""
    lease_id: str = ""
    """The lease that the hold was taken from; empty when none was."""
    hold: NanoUsd = field(default=NanoUsd(0))
    """What is set aside for the request."""
    max_output_tokens: int = 0
    started_ms: int = 0
    """When the generation started by the clock of the edge, in Unix milliseconds; 0 when nobody has said it."""
    """Most tokens of one choice that the hold pays for, where the request sets no limit; 0 for no such bound."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The endpoint that answered, fully or in part, with the price that held when its call was dispatched."""

    endpoint: Endpoint
    price: UnitPrice
    tokens: Tokens
    cost: Cost
    provider_cost: NanoUsd
    finish_reason: str
    native_finish_reason: str
    upstream_id: str
    first_token_ms: int
    generation_ms: int
    service_tier: str = ""
    tool_calls: int = 0
    bad_tool_calls: int = 0
    byok_key_id: str = ""
    """The organisation's own provider key that paid; empty for shared capacity."""
    byok_fee_ppm: int = 0


@dataclass(frozen=True, slots=True)
class GenerationRecord:
    """Everything a usage event says. `headers` carries the trace context of the request."""

    generation_id: GenerationId
    caller: Caller
    requested_model: str
    status: Status
    streamed: bool
    started_at: datetime
    ended_at: datetime
    attempts: tuple[AttemptRecord, ...]
    answered: Answered | None
    session_id: str = ""
    error_type: str = ""
    external_user: str = ""
    private: bool = False
    headers: Mapping[str, str] | None = None
    operation: Operation = Operation.COMPLETION


def count_tokens(
    transcript: Transcript,
    prompt_estimate: int,
    endpoint: Endpoint,
    tokenizer: Tokenizer | None = None,
    count_prompt: Callable[[Tokenizer], TextCount] | None = None,
) -> Tokens:
    """Take the provider's counts when they are possible, else count with the model's tokenizer, else estimate from lengths.

    Impossible are: more than the endpoint's context holds, none for text that is there. What a tokenizer could count only a part of
    is an estimate.
    """
    usage = transcript.usage
    possible = (
        usage is not None
        and usage.prompt + usage.completion <= max(endpoint.context_length, 1) * 2
        and (usage.completion > 0 or not transcript.generated_bytes)
    )
    if usage is not None and possible:
        counts = TokenCounts(
            prompt=usage.prompt,
            completion=usage.completion,
            reasoning=usage.reasoning,
            cached=usage.cached,
            cache_write=usage.cache_write,
        )
        return Tokens(counts, CountSource.PROVIDER)
    if tokenizer is not None and count_prompt is not None:
        prompt = count_prompt(tokenizer)
        completion, reasoning = transcript.count(tokenizer)
        counts = TokenCounts(prompt=prompt.tokens, completion=completion.tokens, reasoning=reasoning.tokens)
        exact = prompt.exact and completion.exact
        return Tokens(counts, CountSource.TOKENIZER if exact else CountSource.ESTIMATE)
    counts = TokenCounts(
        prompt=prompt_estimate,
        completion=estimate_text_tokens(transcript.generated_bytes),
        reasoning=estimate_text_tokens(transcript.reasoning_bytes),
    )
    return Tokens(counts, CountSource.ESTIMATE)


def charge(status: Status, tokens: Tokens, price: UnitPrice, finish_reason: FinishReason | None) -> Cost:
    """What the caller pays: nothing for a failure, nor for an answer without a single token or a word why."""
    if status is Status.FAILED or finish_reason is FinishReason.ERROR:
        return NO_COST
    if tokens.counts.completion == 0 and finish_reason is None:
        return NO_COST
    return money.cost(price, tokens.counts)


def fee_of(cost: Cost, provider_cost: NanoUsd, fee_ppm: int) -> Cost:
    """What the caller pays where its own provider key paid the provider: a part of the list price, or nothing for nothing.

    The shares for input and output stay those of the list price.
    """
    total = money.fee(provider_cost, fee_ppm) if cost.total else NanoUsd(0)
    return Cost(total=total, prompt=cost.prompt, completion=cost.completion)


def owed(status: Status, tokens: Tokens, price: UnitPrice) -> NanoUsd:
    """What the provider is owed. A failure that the provider has not counted is nobody's invoice."""
    if status is Status.FAILED and tokens.source is not CountSource.PROVIDER:
        return NanoUsd(0)
    return money.cost(price, tokens.counts).total
