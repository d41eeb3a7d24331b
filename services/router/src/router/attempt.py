"""One call of one endpoint: from dispatch to its end, judged on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from contracts.catalog import Endpoint
from dialects.answers import Answer, FinishReason
from dialects.tokenizers import encoding_of
from dialects.upstream import UpstreamRequest
from router.domain.attempts import OUTCOMES, AttemptFailure, AttemptOutcome, AttemptRecord, FailureKind
from router.domain.customer_key_rests import CustomerKeyRests
from router.domain.customer_keys import CustomerKey
from router.domain.errors import AttemptFailedError
from router.domain.health_view import FleetHealth, Showing
from router.domain.key_pool import KEY_FAILURES, KeyPools
from router.domain.ports import AttemptTrace, Providers, UpstreamCall
from router.domain.tokens import CountSource, Tokens
from router.domain.transcript import Transcript
from router.domain.upstream_failures import failure_of
from servicekit.clock import Clock

# Rates of answers shorter than this say more of the network than of the model.
_MIN_RATED_TOKENS = 8
_MIN_RATED_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a provider, in seconds.

    Attributes:
        first_token: from the dispatch of a stream to its first token.
        stall: between two events of a stream.
        answer: for a whole answer that is not streamed.
        usage: for the token counts after the last token.
    """

    first_token: float = 60.0
    stall: float = 30.0
    answer: float = 300.0
    usage: float = 5.0

    def shortened(self, first_token: float | None, stall: float | None) -> Patience:
        """The same with what an endpoint's own past says of two of them, where that is shorter."""
        if first_token is None and stall is None:
            return self
        return replace(
            self,
            first_token=self.first_token if first_token is None else min(self.first_token, first_token),
            stall=self.stall if stall is None else min(self.stall, stall),
        )


@dataclass(frozen=True, slots=True)
class Step:
    """What one reading brought: pieces of the answer, then possibly its end, good or bad."""

    answers: Sequence[Answer]
    ended: bool = False
    failure: AttemptFailure | None = None


class Attempt:
    """A call. One of `succeeded`, `failed` and `abandoned` ends it; the first one counts."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        stream: bool,
        providers: Providers,
        health: FleetHealth,
        trace: AttemptTrace,
        clock: Clock,
        patience: Patience,
        keys: KeyPools,
        key: int = 0,
        customer_key: CustomerKey | None = None,
        key_rests: CustomerKeyRests,
        random: Random,
        prompt_tokens: int = 0,
        on_end: Callable[[Endpoint], None] = lambda endpoint: None,
    ) -> None:
        self.endpoint = endpoint
        self.transcript = Transcript(keeps_text=encoding_of(endpoint.model_id, endpoint.tokenizer) is not None)
        self.record: AttemptRecord | None = None
        self._stream = stream
        self._providers = providers
        self._health = health
        self._trace = trace
        self._keys = keys
        self._key = key
        self.customer_key = customer_key
        self._key_rests = key_rests
        self._random = random
        self._on_end = on_end
        self._clock = clock
        self._prompt_tokens = prompt_tokens
        self.dispatched_at = clock.now()
        self._started = clock.monotonic()
        self._patience = patience.shortened(*health.limits(endpoint.id, self._started, prompt_tokens))
        self._dispatch = health.dispatched(endpoint.id, self._started, stream=stream, prompt_tokens=prompt_tokens)
        self._call: UpstreamCall | None = None
        self._first_token: float | None = None
        self._progress = self._started
        self._longest_pause = 0.0
        self._ended: float | None = None

    async def open(self, request: UpstreamRequest, deadline: float) -> Step:
        """Send the request and read until there is something to show to the caller, or the whole of an answer.

        Args:
            request: in the provider's dialect.
            deadline: moment at which the caller stops waiting, on the monotonic clock.

        Raises:
            AttemptFailedError: the endpoint gave nothing usable, and nothing was shown yet; another one may do.
        """
        self._call = await self._providers.call(
            self.endpoint,
            request,
            key=self._key,
            stream=self._stream,
            within=self._time_left(self._started, deadline),
            credential=None if self.customer_key is None else self.customer_key.reveal,
        )
        answers: list[Answer] = []
        while True:
            step = await self.read(deadline)
            answers += step.answers
            if step.failure is not None:
                raise AttemptFailedError(step.failure)
            if step.ended and self.transcript.is_empty:
                raise AttemptFailedError(AttemptFailure(FailureKind.BAD_ANSWER, 200, "empty answer"))
            if step.ended or (self._stream and self.transcript.has_output):
                return Step(answers, step.ended)

    async def read(self, deadline: float) -> Step:
        """Read what comes next. After `open`."""
        if self._call is None:
            raise RuntimeError("not open")
        try:
            answers = await self._call.read(self._time_left(self._clock.monotonic(), deadline))
        except AttemptFailedError as error:
            # When every choice has ended, only the token counts are missing, and those can be estimated.
            return Step((), ended=True) if self.transcript.is_whole else Step((), failure=error.failure)
        if answers is None:
            if self.transcript.is_whole:
                return Step((), ended=True)
            return Step((), failure=AttemptFailure(FailureKind.BAD_ANSWER, 200, "cut answer"))
        return self._take(answers) if answers else Step(())

    def _take(self, answers: Sequence[Answer]) -> Step:
        before, self._progress = self._progress, self._clock.monotonic()
        if self._first_token is not None:
            self._longest_pause = max(self._longest_pause, self._progress - before)
        new: list[Answer] = []
        for answer in answers:
            if answer.error is not None:
                return Step(new, failure=failure_of(answer.error))
            shown = self.transcript.add(answer)
            if self.transcript.finish_reason is FinishReason.ERROR:
                return Step(new, failure=AttemptFailure(FailureKind.SERVER_ERROR, 200, "finish reason error"))
            new.append(shown)
        if self._first_token is None and self.transcript.has_output:
            self._first_token = self._progress
            seconds = self._first_token - self._started
            self._health.showed_life(
                self._dispatch, self._progress, seconds if self._stream else None, self._prompt_tokens
            )
            if self.customer_key is None:
                self._keys.answered(self.endpoint, self._key, self._progress, seconds)
            if self._stream:
                self._trace.first_token(seconds)
        return Step(new)

    def _time_left(self, now: float, deadline: float) -> float:
        patience = self._patience
        if not self._stream:
            limit = self._started + patience.answer
        elif not self.transcript.has_output:
            limit = self._started + patience.first_token
        elif self.transcript.is_whole:
            limit = self._progress + patience.usage
        else:
            limit = self._progress + patience.stall
        return min(limit, deadline) - now

    @property
    def first_token_ms(self) -> int:
        """Milliseconds from the dispatch to the first token, 0 when none came."""
        return round((self._first_token - self._started) * 1000) if self._first_token is not None else 0

    @property
    def generation_ms(self) -> int:
        """Milliseconds from the dispatch to the end, 0 while it goes on."""
        return round((self._ended - self._started) * 1000) if self._ended is not None else 0

    def succeeded(self, tokens: Tokens) -> None:
        """The answer is complete, with these tokens."""
        if self._end(AttemptOutcome.SUCCESS, 200, None):
            if self.customer_key is not None:
                self._key_rests.answered(self.customer_key, self.endpoint)
            self._health.succeeded(self._dispatch, self._progress, self._showing(tokens))
            self._trace.succeeded(
                self._seconds, tokens, self.transcript.upstream_id, self.transcript.finish_reason or ""
            )

    def failed(self, failure: AttemptFailure, *, blamed: bool = True) -> None:
        """The call failed; `blamed` says whether that tells anything of the endpoint."""
        if self._end(OUTCOMES[failure.kind], failure.status, failure.kind):
            if blamed:
                self._blame(failure)
            else:
                self._health.abandoned(self._dispatch, self._clock.monotonic())
            self._trace.failed(self._seconds, failure)

    def _blame(self, failure: AttemptFailure) -> None:
        """Hold the failure against the key where it is the key's, and against the endpoint once it has no other key."""
        now, retry_after = self._clock.monotonic(), failure.retry_after
        if self.customer_key is not None and failure.kind in KEY_FAILURES:
            # A customer's key that is refused or limited says nothing of what others meet there.
            self._key_rests.failed(self.customer_key, self.endpoint, failure, now, self._random)
            self._health.abandoned(self._dispatch)
            return
        if self.customer_key is None:
            self._keys.failed(self.endpoint, self._key, now, failure.kind, retry_after)
        if failure.kind in KEY_FAILURES and self._keys.has_several(self.endpoint):
            wait = self._keys.wait(self.endpoint, now)
            if not wait:
                self._health.abandoned(self._dispatch)
                return
            retry_after = wait if failure.kind is FailureKind.RATE_LIMITED else retry_after
        self._health.failed(self._dispatch, now, failure.kind, retry_after)

    def abandoned(self) -> None:
        """The caller went away."""
        if self._end(AttemptOutcome.CANCELLED, 0, None):
            self._health.abandoned(self._dispatch, self._clock.monotonic())
            self._trace.cancelled(self._seconds)

    def close(self) -> None:
        """Release the connection; an answer that is still coming is cancelled upstream."""
        if self._call is not None:
            self._call.close()

    def _end(self, outcome: AttemptOutcome, status: int, kind: FailureKind | None) -> bool:
        if self.record is not None:
            return False
        self._ended = self._clock.monotonic()
        until = self._first_token if self._first_token is not None else self._ended
        self.record = AttemptRecord(
            endpoint_id=self.endpoint.id,
            provider=self.endpoint.provider.slug,
            outcome=outcome,
            status=status,
            latency_ms=round((until - self._started) * 1000),
            failure=kind,
        )
        if self.customer_key is None:
            self._keys.release(self.endpoint, self._key)
        self._on_end(self.endpoint)
        return True

    @property
    def _seconds(self) -> float:
        return (self._ended or self._started) - self._started

    def _showing(self, tokens: Tokens) -> Showing:
        counted = tokens.source is CountSource.PROVIDER and tokens.counts.prompt > 0
        return Showing(
            tokens_per_second=self._rate(tokens.counts.completion),
            longest_pause=self._longest_pause if self._stream and self._longest_pause else None,
            cache_hit_rate=tokens.counts.cached / tokens.counts.prompt if counted else None,
        )

    def _rate(self, tokens: int) -> float | None:
        if self._first_token is None or not self._stream:
            return None
        seconds = self._progress - self._first_token
        return tokens / seconds if tokens >= _MIN_RATED_TOKENS and seconds >= _MIN_RATED_SECONDS else None
