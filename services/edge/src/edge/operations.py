"""Operations beside completions: credit set aside, the router asked, the credit settled, in whatever way it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from contracts import ids
from contracts.operations import OPERATION_NUMBERS, Operation
from dialects.chat.codec import chat_request_from_document
from dialects.operations.codec import OperationRequest, encode_operation
from dialects.operations.texts import texts_in, with_texts
from edge.admission import Admission, Admitted
from edge.catalog import CatalogMirror
from edge.domain.byok_fee import NO_FEE, ByokFee
from edge.domain.errors import BrokenAnswerError, RefusedError
from edge.domain.operation_size import MOST_OUTPUT_TOKENS, most_of
from edge.domain.principal import Principal
from edge.domain.quote import quote_of
from edge.domain.rate_limits import Claim, LimitSet, Reservation
from edge.generations import Application, caller_of, failure_of, unix_ms
from edge.late_costs import LateCosts
from edge.ports import CompletionRouter
from edge.request_rules import RequestRules, Ruled
from servicekit.clock import Clock
from turnpike.router.v1 import invocation_pb2


@dataclass(frozen=True, slots=True)
class Performed:
    """An operation that was done.

    Attributes:
        generation_id: as the caller sees it.
        created: Unix seconds.
        answer: the router's.
    """

    generation_id: str
    created: int
    answer: invocation_pb2.InvokeResponse


class Operations:
    """Has operations done."""

    def __init__(
        self,
        router: CompletionRouter,
        catalog: CatalogMirror,
        admission: Admission,
        rules: RequestRules,
        late_costs: LateCosts,
        *,
        clock: Clock,
        random: Random,
        byok_fee: ByokFee = NO_FEE,
    ) -> None:
        """Make the use case.

        Args:
            router: does them.
            catalog: says what a request may cost.
            admission: sets credit aside.
            rules: of keys and guardrails.
            late_costs: finds out what generations cost whose end is not seen here.
            clock: dates them.
            random: names them; need not be secret.
            byok_fee: what is charged where an organisation's own provider key pays.
        """
        self._router = router
        self._catalog = catalog
        self._admission = admission
        self._rules = rules
        self._late_costs = late_costs
        self._byok_fee = byok_fee
        self._clock = clock
        self._random = random

    def new_id(self) -> str:
        """A name for a generation that begins now."""
        return ids.new_generation_id(int(self._clock.now().timestamp()), self._random)

    async def perform(
        self,
        principal: Principal,
        operation: Operation,
        request: OperationRequest,
        application: Application,
        generation_id: str,
        limits: Sequence[LimitSet] = (),
    ) -> Performed:
        """Set credit aside and ask the router. Cancelling this cancels the provider's call too.

        Args:
            principal: who pays.
            operation: what is asked for.
            request: the rest of it.
            application: on whose behalf.
            generation_id: names it.
            limits: rate limits that hold besides those of the caller.

        Raises:
            ForbiddenError: the organisation may not spend, or a guardrail does not allow it.
            RateLimitError: a rate limit does not allow it now.
            CreditError: the caller cannot pay.
            RefusedError: the router, or every provider, says no.
            DependencyError: the router did not answer.
            BrokenAnswerError: the answer is not whole.
        """
        principal.org.check_active()
        now = self._clock.now()
        ruled, request = await self._ruled(principal, request, unix_ms(now))
        if limits:
            ruled = replace(ruled, limits=(*ruled.limits, *limits))
        admitted, reserved = await self._admit(principal, request, ruled, unix_ms(now))
        ticket = admitted.ticket
        try:
            answer = await self._router.invoke(
                invocation_pb2.InvokeRequest(
                    generation_id=generation_id,
                    caller=caller_of(
                        principal,
                        application,
                        admitted,
                        ruled.policy,
                        self._byok_fee.ppm(principal.org, unix_ms(now)),
                    ),
                    operation=OPERATION_NUMBERS[operation],
                    request_json=encode_operation(request.body),
                    audio=request.audio,
                    with_metadata=application.wants_metadata,
                )
            )
            if not answer.HasField("outcome"):
                raise BrokenAnswerError("The answer was cut off before it was complete.")
            usage = answer.outcome.usage
            ticket.charge(answer.outcome.cost_nano_usd)
            reserved.settle(usage.prompt_tokens + usage.completion_tokens, answer.outcome.cost_nano_usd)
        except RefusedError:
            ticket.release()
            reserved.release()
            raise
        finally:
            reserved.close()
            # When the caller or the router went away, the edge does not know yet what it cost. Otherwise this changes nothing.
            self._late_costs.expect(principal.org.org_id, generation_id, ticket)
        failure = failure_of(answer.outcome)
        if failure is not None:
            raise failure
        return Performed(generation_id, int(now.timestamp()), answer)

    async def _ruled(
        self, principal: Principal, request: OperationRequest, now_ms: int
    ) -> tuple[Ruled, OperationRequest]:
        """Apply the rules of keys and guardrails, which know conversations: each text is shown to them as a message."""
        texts = texts_in(request.body)
        messages = [{"role": "user", "content": text} for text in texts or [""]]
        shown = chat_request_from_document({"model": request.body.model, "messages": messages})
        ruled = await self._rules.apply(principal, shown, now_ms)
        if ruled.request is shown or not texts:
            return ruled, request
        changed = [message["content"] for message in ruled.request.document["messages"]]
        return ruled, OperationRequest(with_texts(request.body, changed), request.audio)

    async def _admit(
        self, principal: Principal, request: OperationRequest, ruled: Ruled, now_ms: int
    ) -> tuple[Admitted, Reservation]:
        catalog = await self._catalog.require()
        slugs, demand = [request.body.model], most_of(request)
        quote = quote_of(catalog.offers_for(slugs), demand, MOST_OUTPUT_TOKENS)
        claim = Claim(catalog.names_of(slugs), demand.prompt_tokens, quote.hold.amount)
        reserved = await self._rules.reserve(ruled, claim, now_ms)
        try:
            return await self._admission.admit(principal, quote, now_ms, has_budget=ruled.has_budget), reserved
        except BaseException:
            # Also when the caller goes away while a lease is waited for.
            reserved.release()
            raise
