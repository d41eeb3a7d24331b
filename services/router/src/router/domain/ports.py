"""What the use cases need of the world."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from contracts.catalog import Endpoint
from contracts.operations import Operation
from dialects.answers import Answer
from dialects.tokenizers import Tokenizer
from dialects.upstream import UpstreamRequest
from router.domain.attempts import AttemptFailure
from router.domain.customer_keys import CustomerKey
from router.domain.settlement import Caller, GenerationRecord
from router.domain.tokens import Tokens


class UpstreamCall(Protocol):
    """One call of a provider, whose answer has begun or is complete."""

    async def read(self, within: float) -> Sequence[Answer] | None:
        """Return what has arrived, in order, waiting for it if need be; None at the proper end of the answer.

        May be empty, when only something without meaning arrived, such as a keep-alive.

        Args:
            within: seconds to wait at most.

        Raises:
            AttemptFailedError: timeout, broken connection, or bytes that are not in the provider's dialect.
        """
        ...

    def close(self) -> None:
        """End the call. If the answer is not complete, its connection is closed at once, which cancels it upstream."""
        ...


class Providers(Protocol):
    """The model providers."""

    async def call(
        self,
        endpoint: Endpoint,
        request: UpstreamRequest,
        *,
        key: int = 0,
        stream: bool,
        within: float,
        credential: Callable[[], str] | None = None,
    ) -> UpstreamCall:
        """Send a request and wait for the start of its answer.

        Args:
            endpoint: whom to ask.
            request: in the provider's dialect.
            key: place of the credential among the provider's.
            stream: whether it asks for a stream.
            within: seconds to wait at most.
            credential: gives a customer's key, which is used instead of the provider's.

        Raises:
            AttemptFailedError: no answer, or one that says no.
        """
        ...


class CustomerKeys(Protocol):
    """The customers' own provider keys."""

    async def of(self, caller: Caller) -> tuple[CustomerKey, ...]:
        """Return those that a caller may use, in the order in which they are tried. Raises NotAcceptingError."""
        ...


class Tokenizers(Protocol):
    """The tokenizers of models, for answers that nobody has counted."""

    def of(self, endpoint: Endpoint) -> Tokenizer | None:
        """The tokenizer of an endpoint's model; None when it is not known, or not at hand yet."""
        ...


class UsageLog(Protocol):
    """Where the facts of ended generations are kept until everybody has them."""

    @property
    def accepting(self) -> bool:
        """Whether there is room for the facts of further generations."""
        ...

    def append(self, record: GenerationRecord) -> Awaitable[None]:
        """Keep a record. It is handed over when this returns, and durable when the result is awaited.

        Awaiting raises UsageLogError when it could not be made durable. Need not be awaited.
        """
        ...


@dataclass(frozen=True, slots=True)
class AttemptFacts:
    """What a trace says of a call when it starts."""

    generation_id: str
    requested_model: str
    endpoint: Endpoint
    stream: bool
    number: int
    """From 1."""
    candidates: int
    share: float
    strategy: str
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    operation: Operation = Operation.COMPLETION


class AttemptTrace(Protocol):
    """The trace of one call. Exactly one of the last three is called, once."""

    def first_token(self, seconds: float) -> None:
        """The first token came after so many seconds."""
        ...

    def succeeded(self, seconds: float, tokens: Tokens, upstream_id: str, finish_reason: str) -> None:
        """The answer is complete."""
        ...

    def failed(self, seconds: float, failure: AttemptFailure) -> None:
        """The call failed."""
        ...

    def cancelled(self, seconds: float) -> None:
        """The caller went away."""
        ...


class Telemetry(Protocol):
    """Traces, metrics and logs of generations."""

    def trace_headers(self) -> Mapping[str, str]:
        """The trace context of the current request, as headers."""
        ...

    def attempt_started(self, facts: AttemptFacts) -> AttemptTrace:
        """A call starts."""
        ...

    def hedged(self, endpoint: Endpoint) -> None:
        """A copy of a request was sent to this endpoint, because the first one is slow."""
        ...

    def retry_refused(self, endpoint: Endpoint) -> None:
        """A further attempt was not made, because the budget for them is used up."""
        ...

    def generation_ended(self, record: GenerationRecord) -> None:
        """A generation has ended, in whatever way."""
        ...
