"""What a router is asked to have done: the one shape in which completions and operations go through its attempts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from contracts.catalog import Endpoint
from contracts.ids import EndpointId, OrgId
from dialects.chat import ChatRequest
from dialects.compression import compress_middle
from dialects.estimates import measure_prompt
from dialects.operations.codec import OperationRequest
from dialects.operations.registry import operation_request
from dialects.prompt_counts import count_prompt
from dialects.registry import dialect_named
from dialects.tokenizers import TextCount, Tokenizer
from dialects.upstream import Target, UpstreamRequest
from router.domain.demand import Demand, demand_of
from router.domain.operation_demand import operation_demand_of
from router.domain.operation_usage import count_usage
from router.domain.settlement import count_tokens
from router.domain.stickiness import Conversation, conversation_of
from router.domain.tokens import Tokens
from router.domain.tool_review import count_bad_calls
from router.domain.transcript import Transcript


@dataclass(frozen=True, slots=True)
class Sampling:
    """What a trace says of how an answer is to be written."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None


class Task(Protocol):
    """A request as the pipeline sees it, whatever it asks for."""

    @property
    def demand(self) -> Demand:
        """What it asks of an endpoint."""
        ...

    @property
    def stream(self) -> bool:
        """Whether its answer comes in pieces."""
        ...

    @property
    def hides_reasoning(self) -> bool:
        """Whether the caller does not want to see the reasoning."""
        ...

    @property
    def echoes_upstream_body(self) -> bool:
        """Whether the caller wants to see what was sent to providers."""
        ...

    @property
    def session_id(self) -> str:
        """The caller's session, empty when it names none."""
        ...

    @property
    def external_user(self) -> str:
        """The caller's own name for its end user, empty when it gives none."""
        ...

    @property
    def sampling(self) -> Sampling:
        """How an answer is to be written."""
        ...

    def conversation(self, org_id: OrgId) -> Conversation | None:
        """What it is part of; None where staying with an endpoint gains nothing."""
        ...

    def written_for(self, endpoint: Endpoint) -> UpstreamRequest:
        """Put it into the words of an endpoint's provider.

        Raises:
            UnsupportedRequestError: they have none for a part of it.
        """
        ...

    def compression(self, endpoint: Endpoint) -> tuple[int, int] | None:
        """About how many tokens its prompt has, and has left where its middle is cut out for an endpoint; None where it is not."""
        ...

    def count(self, transcript: Transcript, endpoint: Endpoint, tokenizer: Tokenizer | None) -> Tokens:
        """What was used for an answer, as counted or estimated; with the model's tokenizer, where there is one."""
        ...

    def count_bad_calls(self, transcript: Transcript) -> int:
        """How many calls of tools in an answer cannot be carried out."""
        ...


class ChatTask:
    """A completion."""

    def __init__(self, request: ChatRequest, data_region: str = "", paid_output: int = 0) -> None:
        """Make a task.

        Args:
            request: what is asked for.
            data_region: where it must stay, empty for anywhere.
            paid_output: most tokens of one choice that are paid for, where the request sets no limit; 0 for any number.
        """
        body = request.body
        self._request = request
        self._paid_output = paid_output if body.output_limit is None else 0
        self._shortened: set[EndpointId] = set()
        self._prompt_counts: dict[int, TextCount] = {}
        self.demand = demand_of(request, data_region)
        self.stream = bool(body.stream)
        self.hides_reasoning = body.include_reasoning is False or (
            body.reasoning is not None and body.reasoning.exclude is True
        )
        self.echoes_upstream_body = self.stream and body.debug is not None and body.debug.echo_upstream_body is True
        self.session_id = body.session_id or ""
        self.external_user = body.user or ""
        self.sampling = Sampling(body.output_limit, body.temperature, body.top_p)

    def conversation(self, org_id: OrgId) -> Conversation | None:
        """Its conversation."""
        return conversation_of(self._request, org_id)

    def written_for(self, endpoint: Endpoint) -> UpstreamRequest:
        """Write it, with its middle left out where it is too long and may be shortened."""
        target = Target(
            model=endpoint.upstream_model,
            supported=endpoint.supported_parameters,
            stream=self.stream,
            max_completion_tokens=endpoint.max_completion_tokens,
            quirks=endpoint.quirks,
            service_tier=endpoint.service_tier,
        )
        request = self._fitting(endpoint)
        if request is not self._request:
            self._shortened.add(endpoint.id)
        if self._is_told_the_limit(endpoint):
            request = request.with_members({"max_tokens": self._paid_output})
        return dialect_named(endpoint.provider.dialect).request(request, target)

    def compression(self, endpoint: Endpoint) -> tuple[int, int] | None:
        """Say what is left out."""
        request = self._fitting(endpoint)
        if request is self._request:
            return None
        return self.demand.prompt_tokens, measure_prompt(request.body).estimated_tokens

    def _is_told_the_limit(self, endpoint: Endpoint) -> bool:
        """Whether the endpoint could write more than is paid for.

        One that could not is told nothing: several providers refuse a limit that does not fit into what the prompt leaves of
        the context.
        """
        if not self._paid_output:
            return False
        bounds = [endpoint.max_completion_tokens] if endpoint.max_completion_tokens else []
        if endpoint.context_length:
            bounds.append(endpoint.context_length - self.demand.prompt_tokens)
        return not bounds or self._paid_output < min(bounds)

    def _fitting(self, endpoint: Endpoint) -> ChatRequest:
        room = endpoint.context_length - (self.demand.output_limit or 0)
        if self.demand.prompt_tokens > room > 0 and self.demand.compresses_for(endpoint.context_length):
            return compress_middle(self._request, room)
        return self._request

    def count(self, transcript: Transcript, endpoint: Endpoint, tokenizer: Tokenizer | None) -> Tokens:
        """Count tokens. Of a shortened prompt only the estimate is known, which is what it was shortened by."""
        tokenizer = None if endpoint.id in self._shortened else tokenizer
        return count_tokens(transcript, self.demand.prompt_tokens, endpoint, tokenizer, self._count_prompt)

    def _count_prompt(self, tokenizer: Tokenizer) -> TextCount:
        """Count the prompt, once for each tokenizer."""
        counted = self._prompt_counts.get(id(tokenizer))
        if counted is None:
            counted = self._prompt_counts[id(tokenizer)] = count_prompt(self._request.body, tokenizer)
        return counted

    def count_bad_calls(self, transcript: Transcript) -> int:
        """Count calls that break the schema of their tool, or that name none."""
        return count_bad_calls(transcript.tool_calls, self._request.body.tools)


class OperationTask:
    """An operation: everything of its answer comes at once."""

    stream = False
    hides_reasoning = False
    echoes_upstream_body = False
    session_id = ""
    sampling = Sampling()

    def __init__(self, request: OperationRequest, data_region: str = "") -> None:
        self._request = request
        self.demand = operation_demand_of(request, data_region)
        self.external_user = request.body.user or ""

    def conversation(self, org_id: OrgId) -> Conversation | None:
        """None: there is nothing that an endpoint could have kept."""
        return None

    def written_for(self, endpoint: Endpoint) -> UpstreamRequest:
        """Write it."""
        price = endpoint.price
        target = Target(
            model=endpoint.upstream_model,
            supported=endpoint.supported_parameters,
            stream=False,
            max_completion_tokens=endpoint.max_completion_tokens,
            quirks=endpoint.quirks,
            service_tier=endpoint.service_tier,
            priced=frozenset(kind for kind in ("prompt", "completion", "second") if getattr(price, kind)),
        )
        return operation_request(endpoint.provider.dialect, self._request, target)

    def compression(self, endpoint: Endpoint) -> tuple[int, int] | None:
        """Nothing is left out."""
        return None

    def count(self, transcript: Transcript, endpoint: Endpoint, tokenizer: Tokenizer | None) -> Tokens:
        """Count everything that operations are paid by."""
        return count_usage(self._request, self.demand, transcript, endpoint)

    def count_bad_calls(self, transcript: Transcript) -> int:
        """None: there are no calls of tools."""
        return 0


def task_of(request: ChatRequest | OperationRequest, data_region: str = "", paid_output: int = 0) -> Task:
    """Say what a request asks to have done; see `ChatTask`."""
    if isinstance(request, ChatRequest):
        return ChatTask(request, data_region, paid_output)
    return OperationTask(request, data_region)
