"""One completion: attempts until one answers, then its answer, then its usage event."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable

from contracts.catalog import price_for
from contracts.errors import TREATMENTS, ErrorReason
from router.attempt import Attempt
from router.domain import fallback
from router.domain.attempts import AttemptFailure
from router.domain.errors import NotAcceptingError, RefusalError, UsageLogError
from router.domain.progress import Command, Ending, Interruption, Progress, Route, interruption, interruption_by
from router.domain.selection import Choice
from router.domain.settlement import NO_COST, Answered, GenerationRecord, Status, charge, fee_of, owed
from router.domain.stickiness import Conversation
from router.domain.task import Task
from router.domain.transcript import output_of, product_of
from router.opening import Opening
from router.surroundings import Surroundings


class Generation:
    """One completion. Iterate `progress` once; call `abandon` whenever the caller may have gone."""

    def __init__(
        self,
        around: Surroundings,
        command: Command,
        task: Task,
        choice: Choice,
        on_closed: Callable[[], None],
        conversation: Conversation | None = None,
    ) -> None:
        """Make a generation.

        Args:
            around: what every generation shares.
            command: what to do.
            task: the same as the pipeline sees it.
            choice: where it may go.
            on_closed: called once, when nothing of it is left to do.
            conversation: what it is part of, where that matters to the choice of later requests.
        """
        self._around = around
        self._command = command
        self._task = task
        self._demand = task.demand
        self._choice = choice
        self._on_closed = on_closed
        self._conversation = conversation
        self._opening = Opening(around, command, task, choice)
        self._stream = task.stream
        self._started_at = around.clock.now()
        self._trace_headers = around.telemetry.trace_headers()
        self._sent = False
        self._settled = False
        self._closed = False
        self._hides_reasoning = task.hides_reasoning

    async def progress(self) -> AsyncGenerator[Progress, None]:
        """Yield the answer as it comes.

        Raises:
            RefusalError: nothing was yielded, and nothing will be.
        """
        try:
            opened = await self._opening.open()
            if opened is None:
                raise await self._refuse()
            attempt, step = opened
            route: Route | None = Route(
                attempt.endpoint,
                tuple(self._opening.records),
                self._demand.models[0],
                self._choice if self._command.with_metadata else None,
                self._task.compression(attempt.endpoint) if self._command.with_metadata else None,
                tuple(self._opening.upstream_bodies),
                is_byok=attempt.customer_key is not None,
            )
            while not step.ended and step.failure is None:
                deltas = output_of(step.answers, hide_reasoning=self._hides_reasoning)
                if deltas:
                    self._sent = True
                    yield Progress(route, deltas)
                    route = None
                step = await attempt.read(self._command.deadline)
            ending = await self._finish(attempt, step.failure)
            deltas = output_of(step.answers, hide_reasoning=self._hides_reasoning)
            yield Progress(route, deltas, ending, product_of(step.answers))
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

    async def _refuse(self) -> RefusalError:
        """Settle a generation that nobody answered; return what the caller is told."""
        if self._opening.is_late:
            refusal = fallback.out_of_time(self._opening.failed, self._demand)
        else:
            refusal = fallback.exhausted(self._opening.failed, self._demand)
        self._settled = True
        if self._opening.records:
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
            cut = interruption_by(failure, late=self._opening.is_late)
            self._opening.note(attempt, failure)
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
            is_byok=bool(answered.byok_key_id),
            upstream_cost=answered.provider_cost,
        )

    def _succeeded(self, attempt: Attempt) -> None:
        tokens = self._opening.tokens(attempt)
        attempt.succeeded(tokens)
        attempt.close()
        self._opening.keep(attempt)
        self._around.retries.succeeded()
        if self._conversation is not None:
            self._around.places.answered(
                self._conversation,
                attempt.endpoint.id,
                self._around.clock.monotonic(),
                cached_tokens=tokens.counts.cached,
            )

    def _end_early(self, status: Status) -> None:
        attempt = self._opening.attempt
        self._opening.abandon_rival()
        if not self._settled:
            self._settled = True
            if attempt is not None:
                attempt.abandoned()
                self._opening.keep(attempt)
            if self._opening.records:
                answered = self._answered(attempt, status) if attempt is not None else None
                self._append(self._record(status, answered, "" if status is Status.CANCELLED else "server"))
        if attempt is not None:
            attempt.close()

    def _append(self, record: GenerationRecord) -> Awaitable[None]:
        self._around.telemetry.generation_ended(record)
        return self._around.usage_log.append(record)

    def _answered(self, attempt: Attempt, status: Status) -> Answered:
        transcript, tokens = attempt.transcript, self._opening.tokens(attempt)
        # Prices may depend on the prompt's length: here it is counted, at the choice it was estimated.
        price = price_for(attempt.endpoint, tokens.counts.prompt, attempt.dispatched_at)
        cost, provider_cost = charge(status, tokens, price, transcript.finish_reason), owed(status, tokens, price)
        own = attempt.customer_key
        return Answered(
            endpoint=attempt.endpoint,
            price=price,
            tokens=tokens,
            cost=cost if own is None else fee_of(cost, provider_cost, self._command.caller.byok_fee_ppm),
            provider_cost=provider_cost,
            byok_key_id="" if own is None else own.byok_key_id,
            byok_fee_ppm=0 if own is None else self._command.caller.byok_fee_ppm,
            finish_reason="error" if status is Status.FAILED else transcript.finish_reason or "",
            native_finish_reason=transcript.native_finish_reason,
            upstream_id=transcript.upstream_id,
            first_token_ms=attempt.first_token_ms,
            generation_ms=attempt.generation_ms,
            service_tier=transcript.service_tier or attempt.endpoint.service_tier or "",
            tool_calls=len(transcript.tool_calls),
            bad_tool_calls=self._task.count_bad_calls(transcript),
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
            attempts=tuple(self._opening.records),
            answered=answered,
            session_id=self._task.session_id,
            error_type=error_type,
            external_user=self._task.external_user,
            private=self._command.caller.private or self._demand.zero_retention or self._demand.deny_training,
            headers=self._trace_headers,
            operation=self._demand.operation,
        )
