"""From a choice to an endpoint that has something to show: attempts one after the other, and at times two at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from contracts import money
from contracts.catalog import Endpoint, price_for
from dialects.errors import UnsupportedRequestError
from dialects.upstream import UpstreamRequest
from router.attempt import Attempt, Step
from router.domain import retry_budget
from router.domain.attempts import AttemptFailure, AttemptRecord, FailureKind
from router.domain.errors import AttemptFailedError
from router.domain.fallback import FailedAttempt
from router.domain.itinerary import Itinerary, Leg
from router.domain.ports import AttemptFacts
from router.domain.progress import Command
from router.domain.selection import Choice
from router.domain.task import Task
from router.domain.tokens import Expense, Tokens
from router.surroundings import Surroundings

# A timer that is due in less than this has rung: what it was set for is over.
_TIMER_SLACK_SECONDS = 0.002
# Of a request's body that is shown to its caller; several of them travel in one message.
MAX_ECHO_BYTES = 512 << 10


class Opening:
    """The attempts of one generation.

    Attributes:
        attempt: the one that goes on, or that is being made; None between two.
        failed: those that failed, in order.
        records: all that have ended, in order.
        upstream_bodies: what was sent to providers, in order, where the caller wants to see it.
    """

    def __init__(self, around: Surroundings, command: Command, task: Task, choice: Choice) -> None:
        self._around = around
        self._command = command
        self._task = task
        self._demand = task.demand
        self._choice = choice
        self._itinerary = Itinerary(choice.attempts, around.random, self._has_another_key)
        self._stream = task.stream
        self._holds_retry = False
        self._rival: Attempt | None = None
        self.attempt: Attempt | None = None
        self.failed: list[FailedAttempt] = []
        self.records: list[AttemptRecord] = []
        self.upstream_bodies: list[bytes] = []
        self._echoes = task.echoes_upstream_body

    @property
    def is_late(self) -> bool:
        """Whether the caller's deadline is over."""
        return self._seconds_left <= _TIMER_SLACK_SECONDS

    async def open(self) -> tuple[Attempt, Step] | None:
        """Try the candidates in order, until one has something to show; None when none has."""
        while not self.is_late and (leg := self._itinerary.next_leg(self.failed, self._seconds_left)) is not None:
            if leg.pause:
                await self._around.clock.sleep(leg.pause)
            if self.failed and not await self._may_try(leg.endpoint):
                return None
            attempt = self.attempt = self._start(leg)
            hedge_after = self._hedge_after(leg.endpoint)
            if hedge_after is not None:
                opened = await self._race(attempt, hedge_after)
                if opened is not None:
                    return opened
                continue
            outcome = await self._try(attempt)
            if isinstance(outcome, Step):
                return attempt, outcome
            self._fail(attempt, outcome)
            self.attempt = None
        return None

    def note(self, attempt: Attempt, failure: AttemptFailure) -> None:
        """Note that an attempt failed."""
        # A caller without patience says nothing of the endpoint.
        attempt.failed(failure, blamed=not self.is_late)
        attempt.close()
        self.keep(attempt)

    def keep(self, attempt: Attempt) -> None:
        """Keep the record of an attempt that has ended."""
        if attempt.record is not None:
            self.records.append(attempt.record)

    def tokens(self, attempt: Attempt) -> Tokens:
        """What an attempt has used so far, as counted or estimated."""
        return self._task.count(attempt.transcript, attempt.endpoint, self._around.tokenizers.of(attempt.endpoint))

    def abandon_rival(self) -> None:
        """End the second of two attempts that race, if there is one. May be repeated."""
        rival, self._rival = self._rival, None
        if rival is not None:
            self._lose(rival)

    async def _try(self, attempt: Attempt) -> Step | AttemptFailure:
        try:
            return await attempt.open(self._translated(attempt.endpoint), self._command.deadline)
        except AttemptFailedError as error:
            return error.failure

    def _fail(self, attempt: Attempt, failure: AttemptFailure) -> None:
        self.note(attempt, failure)
        self.failed.append(FailedAttempt(attempt.endpoint, failure, attempt.customer_key))

    def _hedge_after(self, endpoint: Endpoint) -> float | None:
        """After how many seconds of silence a copy is sent; None for no copy."""
        around, wanted = self._around, self._demand.hedge
        if self.failed or not self._stream or not (around.hedges if wanted is None else wanted):
            return None
        around.hedge_budget.began()
        return around.health.slow_first_token(endpoint.id, around.clock.monotonic(), self._demand.prompt_tokens)

    async def _race(self, first: Attempt, hedge_after: float) -> tuple[Attempt, Step] | None:
        """Wait for an attempt, and from some moment on for a second one too; the first to show something goes on."""
        async with asyncio.TaskGroup() as group:
            running = {group.create_task(self._try(first)): first}
            timer = group.create_task(self._around.clock.sleep(hedge_after))
            await asyncio.wait({*running, timer}, return_when=asyncio.FIRST_COMPLETED)
            timer.cancel()
            if not any(task.done() for task in running):
                rival = self._rival = self._start_rival()
                if rival is not None:
                    running[group.create_task(self._try(rival))] = rival
            opened: tuple[Attempt, Step] | None = None
            while running and opened is None:
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    opened = self._arrived(running.pop(task), task.result(), opened)
            for task, loser in running.items():
                task.cancel()
                self._lose(loser)
        self._rival = None
        self.attempt = opened[0] if opened is not None else None
        return opened

    def _arrived(
        self, attempt: Attempt, outcome: Step | AttemptFailure, opened: tuple[Attempt, Step] | None
    ) -> tuple[Attempt, Step] | None:
        """Take in how one of two attempts came out; give the one that goes on, if there is one yet."""
        if isinstance(outcome, AttemptFailure):
            self._fail(attempt, outcome)
        elif opened is None:
            opened = attempt, outcome
        else:
            self._lose(attempt)
        if opened is None and attempt is self.attempt:
            # From now on the rival is the one that a caller who leaves is billed by.
            self.attempt, self._rival = self._rival, None
        elif attempt is self._rival and isinstance(outcome, AttemptFailure):
            self._rival = None
        return opened

    def _start_rival(self) -> Attempt | None:
        leg = self._itinerary.next_leg(self.failed, self._seconds_left)
        if leg is None or not self._around.hedge_budget.take():
            return None
        self._around.telemetry.hedged(leg.endpoint)
        return self._start(leg, number=2)

    def _lose(self, attempt: Attempt) -> None:
        """End an attempt that another one was faster than. Its provider is owed what it may count; the caller is not charged."""
        attempt.abandoned()
        attempt.close()
        if attempt.record is not None and attempt.customer_key is not None:
            # The customer's provider invoices the customer.
            self.records.append(attempt.record)
        elif attempt.record is not None:
            tokens = self.tokens(attempt)
            price = price_for(attempt.endpoint, tokens.counts.prompt, attempt.dispatched_at)
            expense = Expense(price, tokens, money.cost(price, tokens.counts).total)
            self.records.append(replace(attempt.record, expense=expense))

    async def _may_try(self, endpoint: Endpoint) -> bool:
        """Wait for a place in the retry budget, unless the endpoint shows meanwhile that it serves."""
        around = self._around
        until = around.clock.monotonic() + min(retry_budget.WAIT_SECONDS, self._seconds_left)
        while not self.is_late:
            now = around.clock.monotonic()
            if around.health.is_proven(endpoint.id, now):
                return True
            if around.retries.take(endpoint.model_id):
                self._holds_retry = True
                return True
            if now >= until or around.retries.is_spent(endpoint.model_id):
                around.telemetry.retry_refused(endpoint)
                return False
            await around.clock.sleep(min(retry_budget.LOOK_SECONDS, until - now))
        return False

    @property
    def _seconds_left(self) -> float:
        return self._command.deadline - self._around.clock.monotonic()

    def _start(self, leg: Leg, number: int = 1) -> Attempt:
        around, sampling = self._around, self._task.sampling
        facts = AttemptFacts(
            generation_id=self._command.generation_id,
            requested_model=self._demand.models[0],
            endpoint=leg.endpoint,
            stream=self._stream,
            number=len(self.failed) + number,
            candidates=len(self._choice.candidates),
            share=leg.share,
            strategy=self._choice.strategy,
            max_tokens=sampling.max_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            operation=self._demand.operation,
        )
        around.retries.began(leg.endpoint.model_id)
        # Asked for now, so that it is at hand when it is needed.
        around.tokenizers.of(leg.endpoint)
        return Attempt(
            leg.endpoint,
            stream=self._stream,
            providers=around.providers,
            health=around.health,
            trace=around.telemetry.attempt_started(facts),
            clock=around.clock,
            patience=around.patience,
            keys=around.keys,
            key=0
            if leg.customer_key is not None
            else around.keys.take(leg.endpoint, around.clock.monotonic(), around.random),
            customer_key=leg.customer_key,
            key_rests=around.key_rests,
            random=around.random,
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
        try:
            translated = self._task.written_for(endpoint)
        except UnsupportedRequestError as error:
            failure = AttemptFailure(FailureKind.UNSUPPORTED_PARAMETER, detail=str(error), message=str(error))
            raise AttemptFailedError(failure) from None
        if self._echoes:
            self.upstream_bodies.append(translated.body if len(translated.body) <= MAX_ECHO_BYTES else b"{}")
        return translated
