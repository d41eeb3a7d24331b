"""Implementations of the router's ports that live in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping

from contracts.catalog import Endpoint
from dialects.tokenizers import Tokenizer, encoding_of, load_tokenizer
from router.domain.attempts import AttemptFailure
from router.domain.errors import UsageLogError
from router.domain.ports import AttemptFacts
from router.domain.settlement import GenerationRecord
from router.domain.tokens import Tokens


class MemoryUsageLog:
    """Keeps records in a list; fails or refuses when it is told to."""

    def __init__(self) -> None:
        self.records: list[GenerationRecord] = []
        self.accepting = True
        self.failing = False

    def append(self, record: GenerationRecord) -> Awaitable[None]:
        """Keep a record."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda done: done.exception())
        if self.failing:
            future.set_exception(UsageLogError("told to fail"))
        else:
            self.records.append(record)
            future.set_result(None)
        return future


class ReadyTokenizers:
    """Has every tokenizer that is known at hand."""

    def of(self, endpoint: Endpoint) -> Tokenizer | None:
        """The tokenizer of an endpoint's model; None when it is not known."""
        encoding = encoding_of(endpoint.model_id, endpoint.tokenizer)
        return None if encoding is None else load_tokenizer(encoding)


class SilentTelemetry:
    """Says nothing, and remembers what calls were made."""

    def __init__(self) -> None:
        self.attempts: list[AttemptFacts] = []
        self.ended: list[GenerationRecord] = []
        self.refused: list[Endpoint] = []
        self.copies: list[Endpoint] = []

    def trace_headers(self) -> Mapping[str, str]:
        """No trace."""
        return {}

    def attempt_started(self, facts: AttemptFacts) -> SilentTrace:
        """A call starts."""
        self.attempts.append(facts)
        return SilentTrace()

    def hedged(self, endpoint: Endpoint) -> None:
        """A copy of a request was sent."""
        self.copies.append(endpoint)

    def retry_refused(self, endpoint: Endpoint) -> None:
        """A further attempt was not made."""
        self.refused.append(endpoint)

    def generation_ended(self, record: GenerationRecord) -> None:
        """A generation has ended."""
        self.ended.append(record)


class SilentTrace:
    """The trace of a call, unseen."""

    def first_token(self, seconds: float) -> None:
        """The first token came."""

    def succeeded(self, seconds: float, tokens: Tokens, upstream_id: str, finish_reason: str) -> None:
        """The answer is complete."""

    def failed(self, seconds: float, failure: AttemptFailure) -> None:
        """The call failed."""

    def cancelled(self, seconds: float) -> None:
        """The caller went away."""
