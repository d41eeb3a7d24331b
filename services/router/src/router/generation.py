"""One completion: attempts until one answers, then its answer, then its usage event."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from random import Random

from contracts.catalog import Endpoint, price_for
from contracts.errors import TREATMENTS, ErrorReason
from dialects.compression import compress_middle
from dialects.errors import UnsupportedRequestError
from dialects.registry import dialect_named
from dialects.upstream import Target, UpstreamRequest
from router.attempt import Attempt, Patience, Step
from router.domain import fallback
from router.domain.attempts import AttemptFailure, AttemptRecord, FailureKind
from router.domain.demand import Demand
from router.domain.errors import AttemptFailedError, NotAcceptingError, RefusalError, UsageLogError
from router.domain.health_view import FleetHealth
from router.domain.itinerary import Itinerary, Leg
from router.domain.key_pool import KeyPools
from router.domain.ports import AttemptFacts, Providers, Telemetry, UsageLog
from router.domain.progress import Command, Ending, Interruption, Progress, Route, interruption, interruption_by
from router.domain.retry_budget import RetryBudget
from router.domain.selection import Choice
from router.domain.settlement import (
    NO_COST,
    Answered,
    GenerationRecord,
    Status,
    Tokens,
    charge,
    count_tokens,
    owed,
)
from router.domain.stickiness import Conversation, StickyPlaces
from router.domain.transcript import output_of
from servicekit.clock import Clock

# A timer that is due in less than this has rung: what it was set for is over.
_TIMER_SLACK_SECONDS = 0.002
# How long a further attempt waits for its place in the budget: many at once fail together when an endpoint dies, and the
# first of them to be served elsewhere shows that the others may follow.
RETRY_WAIT_SECONDS = 2.0
_RETRY_LOOK_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every generation shares."""

    providers: Providers
    health: FleetHealth
    usage_log: UsageLog
    telemetry: Telemetry
    clock: Clock
    patience: Patience
    keys: KeyPools
    retries: RetryBudget
    places: StickyPlaces
    random: Random


class Generation:
    """One completion. Iterate `progress` once; call `abandon` whenever the caller may have gone."""

    def __init__(
        self,
        around: Surroundings,
        command: Command,
        demand: Demand,
        choice: Choice,
        on_closed: Callable[[], None],
        conversation: Conversation | None = None,
    ) -> None:
        """Make a generation.

        Args:
            around: what every generation shares.
            command: what to complete.
            demand: the same as the choice has seen it.
            choice: where it may go.
            on_closed: called once, when nothing of it is left to do.
            conversation: what it is part of, where that matters to the choice of later requests.
        """
        self._around = around
        self._command = command
        self._demand = demand
        self._choice = choice
        self._on_closed = on_closed
        self._conversation = conversation
        self._itinerary = Itinerary(choice.attempts, around.random, self._has_another_key)
        self._holds_retry = False
        self._stream = bool(command.request.body.stream)
        self._started_at = around.clock.now()
        self._trace_headers = around.telemetry.trace_headers()
        self._failed: list[fallback.FailedAttempt] = []
        self._records: list[AttemptRecord] = []
        self._attempt: Attempt | None = None
        self._sent = False
        self._settled = False
        self._closed = False
        body = command.request.body
        self._hides_reasoning = body.include_reasoning is False or (
            body.reasoning is not None and body.reasoning.exclude is True
        )

    async def progress(self) -> AsyncGenerator[Progress, None]:
        """Yield the answer as it comes.

        Raises:
            RefusalError: nothing was yielded, and nothing will be.
        """
        try:
            opened = await self._open()
            if opened is None:
                raise await self._refuse()
            attempt, step = opened
            route: Route | None = Route(
                attempt.endpoint,
                tuple(self._records),
                self._demand.models[0],
                self._choice if self._command.with_metadata else None,
            )
            while not step.ended and step.failure is None:
                deltas = output_of(step.answers, hide_reasoning=self._hides_reasoning)
                if deltas:
                    self._sent = True
                    yield Progress(route, deltas)
                    route = None
                step = await attempt.read(self._command.deadline)
            ending = await self._finish(attempt, step.failure)
            yield Progress(route, output_of(step.answers, hide_reasoning=self._hides_reasoning), ending)
        except Exception:
            self._end_early(Status.FAILED)
            raise
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Stop now, if it has not ended: cancel the provider's call, bill what was generated. May be repeated."""
        self._end_early(Status.CANCELLED)
        if not self._closed:
            self._closed = True
            self._on_closed()

    async def _open(self) -> tuple[Attempt, Step] | None:
        """Try the candidates in order, until one has something to show."""
        while not self._is_late and (leg := self._itinerary.next_leg(self._failed, self._seconds_left)) is not None:
            if leg.pause:
                await self._around.clock.sleep(leg.pause)
            if self._failed and not await self._may_try(leg.endpoint):
                return None
            attempt = self._attempt = self._start(leg)
            try:
                return attempt, await attempt.open(self._translated(leg.endpoint), self._command.deadline)
            except AttemptFailedError as error:
                self._note(attempt, error.failure)
                self._failed.append(fallback.FailedAttempt(attempt.endpoint, error.failure))
                self._attempt = None
        return None

    async def _may_try(self, endpoint: Endpoint) -> bool:
        """Wait for a place in the retry budget, unless the endpoint shows meanwhile that it serves."""
        around = self._around
        until = around.clock.monotonic() + min(RETRY_WAIT_SECONDS, self._seconds_left)
        while not self._is_late:
            now = around.clock.monotonic()
            if around.health.is_proven(endpoint.id, now):
                return True
            if around.retries.take(endpoint.model_id):
                self._holds_retry = True
                return True
            if now >= until or around.retries.is_spent(endpoint.model_id):
                around.telemetry.retry_refused(endpoint)
                return False
            await around.clock.sleep(min(_RETRY_LOOK_SECONDS, until - now))
        return False

    @property
    def _seconds_left(self) -> float:
        return self._command.deadline - self._around.clock.monotonic()

    @property
    def _is_late(self) -> bool:
        return self._seconds_left <= _TIMER_SLACK_SECONDS

    def _start(self, leg: Leg) -> Attempt:
        around, body = self._around, self._command.request.body
        facts = AttemptFacts(
            generation_id=self._command.generation_id,
            requested_model=self._demand.models[0],
            endpoint=leg.endpoint,
            stream=self._stream,
            number=len(self._failed) + 1,
            candidates=len(self._choice.candidates),
            share=leg.share,
            strategy=self._choice.strategy,
            max_tokens=body.output_limit,
            temperature=body.temperature,
            top_p=body.top_p,
        )
        around.retries.began(leg.endpoint.model_id)
        return Attempt(
            leg.endpoint,
            stream=self._stream,
            providers=around.providers,
            health=around.health,
            trace=around.telemetry.attempt_started(facts),
            clock=around.clock,
            patience=around.patience,
            keys=around.keys,
            key=around.keys.take(leg.endpoint, around.clock.monotonic(), around.random),
            prompt_tokens=self._demand.prompt_tokens,
            on_end=self._attempt_ended,
        )

    def _has_another_key(self, endpoint: Endpoint) -> bool:
        keys = self._around.keys
        return keys.has_several(endpoint) and not keys.wait(endpoint, self._around.clock.monotonic())

    def _attempt_ended(self, endpoint: Endpoint) -> None:
        self._around.retries.ended(endpoint.model_id)
        if self._holds_retry:
            self._holds_retry = False
            self._around.retries.give_back(endpoint.model_id)

    def _translated(self, endpoint: Endpoint) -> UpstreamRequest:
        """Put the request into the words of the endpoint's provider.

        Raises:
            AttemptFailedError: they have none for a part of it.
        """
        target = Target(
            model=endpoint.upstream_model,
            supported=endpoint.supported_parameters,
            stream=self._stream,
            max_completion_tokens=endpoint.max_completion_tokens,
            quirks=endpoint.quirks,
            service_tier=endpoint.service_tier,
        )
        request = self._command.request
        room = endpoint.context_length - (self._demand.output_limit or 0)
        if self._demand.prompt_tokens > room > 0 and self._demand.compresses_for(endpoint.context_length):
            request = compress_middle(request, room)
        try:
            return dialect_named(endpoint.provider.dialect).request(request, target)
        except UnsupportedRequestError as error:
            failure = AttemptFailure(FailureKind.UNSUPPORTED_PARAMETER, detail=str(error), message=str(error))
            raise AttemptFailedError(failure) from None

    def _note(self, attempt: Attempt, failure: AttemptFailure) -> None:
        # A caller without patience says nothing of the endpoint.
        attempt.failed(failure, blamed=not self._is_late)
        attempt.close()
        self._keep(attempt)

    def _keep(self, attempt: Attempt) -> None:
        if attempt.record is not None:
            self._records.append(attempt.record)

    async def _refuse(self) -> RefusalError:
        """Settle a generation that nobody answered; return what the caller is told."""
        if self._is_late:
            refusal = fallback.out_of_time(self._failed, self._demand)
        else:
            refusal = fallback.exhausted(self._failed, self._demand)
        self._settled = True
        if self._records:
            record = self._record(Status.FAILED, None, TREATMENTS[refusal.reason].error_type)
            try:
                await self._append(record)
            except UsageLogError:
                # It charges nobody, so the caller is better served with the reason of the failure.
                return refusal
        return refusal

    async def _finish(self, attempt: Attempt, failure: AttemptFailure | None) -> Ending:
        """Settle an answer that is complete, or that broke off after a part of it was shown."""
        cut: Interruption | None = None
        if failure is None:
            self._succeeded(attempt)
        else:
            cut = interruption_by(failure, late=self._is_late)
            self._note(attempt, failure)
        status = Status.FAILED if cut else Status.COMPLETED
        answered = self._answered(attempt, status)
        self._settled = True
        try:
            await self._append(self._record(status, answered, cut.error_type if cut else ""))
        except UsageLogError:
            if not self._sent:
                raise NotAcceptingError(
                    ErrorReason.DEPENDENCY_UNAVAILABLE, "The answer could not be recorded", retry_after=1.0
                ) from None
            lost = interruption(ErrorReason.DEPENDENCY_UNAVAILABLE)
            return Ending(Status.FAILED, answered.tokens, NO_COST, lost)
        transcript = attempt.transcript
        return Ending(
            status,
            answered.tokens,
            answered.cost,
            cut,
            transcript.system_fingerprint,
            transcript.service_tier or attempt.endpoint.service_tier,
        )

    def _succeeded(self, attempt: Attempt) -> None:
        tokens = self._tokens(attempt)
        attempt.succeeded(tokens)
        attempt.close()
        self._keep(attempt)
        self._around.retries.succeeded()
        if self._conversation is not None:
            self._around.places.answered(
                self._conversation,
                attempt.endpoint.id,
                self._around.clock.monotonic(),
                cached_tokens=tokens.counts.cached,
            )

    def _end_early(self, status: Status) -> None:
        attempt = self._attempt
        if not self._settled:
            self._settled = True
            if attempt is not None:
                attempt.abandoned()
                self._keep(attempt)
            if self._records:
                answered = self._answered(attempt, status) if attempt is not None else None
                self._append(self._record(status, answered, "" if status is Status.CANCELLED else "server"))
        if attempt is not None:
            attempt.close()

    def _append(self, record: GenerationRecord) -> Awaitable[None]:
        self._around.telemetry.generation_ended(record)
        return self._around.usage_log.append(record)

    def _tokens(self, attempt: Attempt) -> Tokens:
        return count_tokens(attempt.transcript, self._demand.prompt_tokens, attempt.endpoint)

    def _answered(self, attempt: Attempt, status: Status) -> Answered:
        transcript, tokens = attempt.transcript, self._tokens(attempt)
        # Prices may depend on the prompt's length: here it is counted, at the choice it was estimated.
        price = price_for(attempt.endpoint, tokens.counts.prompt, attempt.dispatched_at)
        return Answered(
            endpoint=attempt.endpoint,
            price=price,
            tokens=tokens,
            cost=charge(status, tokens, price, transcript.finish_reason),
            provider_cost=owed(status, tokens, price),
            finish_reason="error" if status is Status.FAILED else transcript.finish_reason or "",
            native_finish_reason=transcript.native_finish_reason,
            upstream_id=transcript.upstream_id,
            first_token_ms=attempt.first_token_ms,
            generation_ms=attempt.generation_ms,
        )

    def _record(self, status: Status, answered: Answered | None, error_type: str) -> GenerationRecord:
        return GenerationRecord(
            generation_id=self._command.generation_id,
            caller=self._command.caller,
            requested_model=self._demand.models[0],
            status=status,
            streamed=self._stream,
            started_at=self._started_at,
            ended_at=max(self._around.clock.now(), self._started_at),
            attempts=tuple(self._records),
            answered=answered,
            session_id=self._command.request.body.session_id or "",
            error_type=error_type,
            headers=self._trace_headers,
        )
