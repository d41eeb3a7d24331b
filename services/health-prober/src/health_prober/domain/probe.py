"""A probe: the smallest true completion (embedding, ranking), and what its answer says. Status and reason are kept apart from the verdict."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from contracts.catalog import Endpoint
from contracts.money import NanoUsd, TokenCounts, cost
from contracts.operations import Operation
from dialects.answers import Answer, ChoiceDelta, FinishReason, UpstreamErrorKind
from dialects.chat import decode_chat_request
from dialects.errors import UpstreamAnswerError
from dialects.operations.codec import OperationRequest
from dialects.operations.registry import operation_request
from dialects.operations.requests import EmbeddingsBody, RerankBody
from dialects.registry import dialect_named
from dialects.upstream import Target, UpstreamRequest

# A limit of one token is refused by some reasoning models and used up before the first word by the others, which makes
# sound endpoints look broken.
MAX_TOKENS = 16

# OpenAI and Azure answer so, with status 400, when a model has thought up to the limit and not begun to answer.
_THOUGHT_UP_TO_THE_LIMIT = b"could not finish the message because max_tokens"

_PROMPT = b'{"messages":[{"role":"user","content":"Reply with OK."}],"max_tokens":16}'
_REQUEST = decode_chat_request(_PROMPT)
_OPERATIONS: Final = {
    Operation.EMBEDDINGS: OperationRequest(EmbeddingsBody(model="-", input="OK")),
    Operation.RERANK: OperationRequest(RerankBody(model="-", query="OK", documents=["OK"])),
}

# What the chat template adds to three words differs between models; this is above all that are known.
_PROMPT_TOKENS_AT_MOST = 64


class ProbeResult(StrEnum):
    """How a probe ended."""

    OK = "ok"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    BAD_ANSWER = "bad_answer"
    UNAUTHORIZED = "unauthorized"
    RATE_LIMITED = "rate_limited"
    REFUSED = "refused"
    """The provider calls the request wrong. That is about the request and says nothing about health."""

    @property
    def says_nothing(self) -> bool:
        """Whether the result is no evidence either way."""
        return self in {ProbeResult.RATE_LIMITED, ProbeResult.REFUSED}


@dataclass(frozen=True, slots=True)
class ProbeOutcome:
    """What one probe showed.

    Attributes:
        result: how it ended.
        status_code: HTTP status of the answer, 0 when there was none.
        tokens: as counted by the provider; None when it did not say.
    """

    result: ProbeResult
    status_code: int = 0
    tokens: TokenCounts | None = None


def probe_request(endpoint: Endpoint, operation: Operation = Operation.COMPLETION) -> UpstreamRequest:
    """Return what to send. Of a completion the limit is always sent, also to endpoints that do not list it: it bounds the price."""
    if operation in _OPERATIONS:
        bare = Target(endpoint.upstream_model, frozenset(), stream=False, quirks=endpoint.quirks)
        return operation_request(endpoint.provider.dialect, _OPERATIONS[operation], bare)
    target = Target(
        model=endpoint.upstream_model,
        supported=frozenset({"max_tokens"}),
        stream=False,
        max_completion_tokens=MAX_TOKENS,
        quirks=endpoint.quirks,
    )
    return dialect_named(endpoint.provider.dialect).request(_REQUEST, target)


def read_outcome(
    endpoint: Endpoint, status: int, body: bytes, operation: Operation = Operation.COMPLETION
) -> ProbeOutcome:
    """Say what an answer shows about its endpoint."""
    dialect = dialect_named(endpoint.provider.dialect)
    if status == 400 and _THOUGHT_UP_TO_THE_LIMIT in body.lower():
        return ProbeOutcome(ProbeResult.OK, status)
    if status != 200:
        return ProbeOutcome(_result_of_error(dialect.read_error(body, status).kind), status)
    try:
        read = probe_request(endpoint, operation).read
        answer = dialect.read_answer(body) if read is None else read(body, "application/json")
    except UpstreamAnswerError:
        return ProbeOutcome(ProbeResult.BAD_ANSWER, status)
    tokens = None
    if answer.usage is not None:
        usage = answer.usage
        tokens = TokenCounts(
            usage.prompt,
            usage.completion,
            usage.reasoning,
            usage.cached,
            usage.cache_write,
            search_units=usage.search_units,
        )
    if answer.error is not None:
        return ProbeOutcome(_result_of_error(answer.error.kind), status, tokens)
    good = _is_answered(answer) or answer.product is not None
    return ProbeOutcome(ProbeResult.OK if good else ProbeResult.BAD_ANSWER, status, tokens)


def probe_cost(endpoint: Endpoint, outcome: ProbeOutcome) -> NanoUsd:
    """What a probe cost. Where an answer may have been made that nobody counted, the most that it can have cost."""
    if outcome.tokens is not None:
        return cost(endpoint.price, outcome.tokens).total
    if outcome.result in {ProbeResult.OK, ProbeResult.TIMEOUT} or outcome.status_code == 200:
        return highest_cost(endpoint)
    return NanoUsd(0)


def highest_cost(endpoint: Endpoint) -> NanoUsd:
    """The most that a probe of the endpoint should cost."""
    plain = cost(endpoint.price, TokenCounts(_PROMPT_TOKENS_AT_MOST, MAX_TOKENS, search_units=1)).total
    reasoning = cost(endpoint.price, TokenCounts(_PROMPT_TOKENS_AT_MOST, MAX_TOKENS, reasoning=MAX_TOKENS)).total
    return max(plain, reasoning)


def _result_of_error(kind: UpstreamErrorKind) -> ProbeResult:
    match kind:
        case UpstreamErrorKind.RATE_LIMITED:
            return ProbeResult.RATE_LIMITED
        case UpstreamErrorKind.AUTHENTICATION | UpstreamErrorKind.QUOTA_EXHAUSTED:
            return ProbeResult.UNAUTHORIZED
        case UpstreamErrorKind.TIMEOUT:
            return ProbeResult.TIMEOUT
        case (
            UpstreamErrorKind.INVALID_REQUEST
            | UpstreamErrorKind.UNSUPPORTED_PARAMETER
            | UpstreamErrorKind.CONTEXT_LENGTH
            | UpstreamErrorKind.CONTENT_POLICY
        ):
            return ProbeResult.REFUSED
        case UpstreamErrorKind.MODEL_NOT_FOUND | UpstreamErrorKind.OVERLOADED | UpstreamErrorKind.SERVER:
            return ProbeResult.BAD_ANSWER


def _is_answered(answer: Answer) -> bool:
    """Reasoning alone, or a limit that was reached before any text, is an answer: the model ran."""
    counted = answer.usage is not None and answer.usage.completion > 0
    return any(_ran(choice) or (counted and not _failed(choice)) for choice in answer.choices)


def _ran(choice: ChoiceDelta) -> bool:
    return not _failed(choice) and (choice.has_output or choice.finish_reason is FinishReason.LENGTH)


def _failed(choice: ChoiceDelta) -> bool:
    return choice.finish_reason is FinishReason.ERROR
