"""Generations: credit set aside, the router asked, the credit settled, in whatever way it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from random import Random

from contracts import ids
from dialects.chat import ChatRequest, encode_chat_request
from edge.admission import EASILY, Admission, Admitted
from edge.catalog import CatalogMirror
from edge.domain.byok_fee import NO_FEE, ByokFee
from edge.domain.errors import BrokenAnswerError, EdgeError
from edge.domain.hold import Demand
from edge.domain.principal import Principal
from edge.domain.prompt_size import estimate_prompt_tokens
from edge.domain.quote import quote_of
from edge.domain.rate_limits import Claim, LimitSet, Reservation
from edge.domain.wallet import Ticket
from edge.late_costs import LateCosts
from edge.ports import CompletionCall, CompletionRouter
from edge.request_rules import RequestRules, Ruled
from servicekit.clock import Clock
from turnpike.router.v1 import completion_pb2, policy_pb2, router_service_pb2
from turnpike.usage.v1 import usage_event_pb2

_CUT_OFF = "The answer was cut off before it was complete."


def unix_ms(moment: datetime) -> int:
    """Unix milliseconds of an aware instant."""
    return int(moment.timestamp() * 1000)


def failure_of(outcome: completion_pb2.Outcome) -> BrokenAnswerError | None:
    """What went wrong with an answer that had begun, or None."""
    if outcome.HasField("error"):
        error = outcome.error
        return BrokenAnswerError(error.message or _CUT_OFF, error.status_code or 502, error.error_type or "server")
    if outcome.status == usage_event_pb2.GENERATION_STATUS_COMPLETED:
        return None
    return BrokenAnswerError(_CUT_OFF)


@dataclass(frozen=True, slots=True)
class Application:
    """The calling application as it states itself, and where it calls from; empty where that is not known."""

    http_referer: str = ""
    title: str = ""
    wants_metadata: bool = False
    """Whether it wants to know how its request was routed."""
    user_agent: str = ""
    request_id: str = ""
    categories: tuple[str, ...] = ()
    country: str = ""
    """Where the call comes from, as a proxy says: two capital letters."""
    data_region: str = ""
    """Where its request must stay, empty for anywhere."""


def caller_of(
    principal: Principal,
    application: Application,
    admitted: Admitted,
    policy: policy_pb2.RoutingPolicy | None,
    byok_fee_ppm: int,
) -> completion_pb2.Caller:
    """Say who calls.

    Args:
        principal: who pays.
        application: on whose behalf.
        admitted: what is set aside.
        policy: where the request may go; None for anywhere.
        byok_fee_ppm: fee for the organisation's own provider keys, in millionths of the list price.
    """
    return completion_pb2.Caller(
        org_id=principal.org.org_id,
        key_id=principal.key.key_id,
        hold_nano_usd=admitted.ticket.amount,
        lease_id=admitted.ticket.lease_id,
        max_output_tokens=admitted.limit,
        http_referer=application.http_referer,
        app_title=application.title,
        user_agent=application.user_agent,
        request_id=application.request_id,
        app_categories=application.categories,
        country=application.country,
        data_region=application.data_region,
        policy=policy,
        member_id=principal.key.creator_user_id,
        workspace_id=principal.key.workspace_id,
        byok_revision=principal.org.byok_revision,
        byok_fee_ppm=byok_fee_ppm,
    )


class Generation:
    """One generation that is being answered.

    Attributes:
        generation_id: as the caller sees it.
        created: Unix seconds.
        outcome: how it ended; None until that is known.
        refused: whether it ended before anything was answered.
        request: as the router gets it, after the caller's rules.
        amend: adds what is the gateway's own to each message as it comes.
        on_message: is told every message after that.
    """

    __slots__ = (
        "_began",
        "_call",
        "_on_outcome",
        "_stages",
        "amend",
        "created",
        "generation_id",
        "on_message",
        "outcome",
        "refused",
        "request",
    )

    def __init__(
        self,
        generation_id: str,
        created: int,
        call: CompletionCall,
        on_outcome: Callable[[completion_pb2.Outcome], None],
        stages: Sequence[policy_pb2.PipelineStage] = (),
    ) -> None:
        self.generation_id = generation_id
        self.created = created
        self.outcome: completion_pb2.Outcome | None = None
        self.refused = False
        self.request: ChatRequest | None = None
        self.amend: Callable[[router_service_pb2.CompleteResponse], None] | None = None
        self.on_message: Callable[[router_service_pb2.CompleteResponse], None] | None = None
        self._began = False
        self._call = call
        self._on_outcome = on_outcome
        self._stages = stages

    async def read(self) -> router_service_pb2.CompleteResponse | None:
        """Return the router's next message; None after the one with the outcome.

        Raises:
            EdgeError: refused, unavailable, or cut off.
        """
        if self.outcome is not None:
            return None
        try:
            message = await self._call.read()
        except EdgeError:
            self.refused = not self._began
            raise
        if message is None:
            # Only the outcome makes an answer complete; a stream that merely ends was cut.
            raise BrokenAnswerError(_CUT_OFF)
        self._began = True
        if self._stages and message.HasField("route") and message.route.HasField("metadata"):
            message.route.metadata.pipeline.MergeFrom(self._stages)
        if self.amend is not None:
            self.amend(message)
        if self.on_message is not None:
            self.on_message(message)
        if message.HasField("outcome"):
            self.outcome = message.outcome
            # Before the caller can see the end of the answer: its next request must find this one's hold released.
            self._on_outcome(message.outcome)
        return message


class Generations:
    """Starts generations."""

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
        default_output_tokens: int,
        byok_fee: ByokFee = NO_FEE,
    ) -> None:
        """Make the use case.

        Args:
            router: answers.
            catalog: says what a request may cost.
            admission: sets credit aside.
            rules: of keys and guardrails.
            late_costs: finds out what generations cost whose end is not seen here.
            clock: dates the generations.
            random: names them; need not be secret.
            default_output_tokens: stands in for a limit that a caller does not set.
            byok_fee: what is charged where an organisation's own provider key pays.
        """
        self._router = router
        self._catalog = catalog
        self._admission = admission
        self._rules = rules
        self._late_costs = late_costs
        self._clock = clock
        self._random = random
        self._default_output_tokens = default_output_tokens
        self._byok_fee = byok_fee

    def new_id(self) -> tuple[str, int]:
        """Name a generation that begins now; gives its id, and the Unix seconds in it."""
        created = int(self._clock.now().timestamp())
        return ids.new_generation_id(created, self._random), created

    async def ruled(self, principal: Principal, request: ChatRequest) -> Ruled:
        """Apply the rules of the caller to a request that is answered without the router.

        Raises:
            ForbiddenError: the organisation may not spend, or a rule forbids the request.
        """
        principal.org.check_active()
        return await self._rules.apply(principal, request, unix_ms(self._clock.now()))

    @asynccontextmanager
    async def begin(
        self,
        principal: Principal,
        request: ChatRequest,
        application: Application,
        *,
        ruled: Ruled | None = None,
        limits: Sequence[LimitSet] = (),
    ) -> AsyncIterator[Generation]:
        """Set credit aside and ask the router; leaving the block cancels what is not finished.

        Args:
            principal: who pays.
            request: what for.
            application: on whose behalf.
            ruled: the request as the caller's rules leave it, where they were applied already.
            limits: rate limits that hold besides those of the caller.

        Raises:
            ForbiddenError: the organisation may not spend, or a guardrail does not allow it.
            RateLimitError: a rate limit does not allow it now.
            CreditError: the caller cannot pay.
            DependencyError: the price is not known, because the router has not answered yet.
        """
        principal.org.check_active()
        now_ms = unix_ms(self._clock.now())
        if ruled is None:
            ruled = await self._rules.apply(principal, request, now_ms)
        if limits:
            ruled = replace(ruled, limits=(*ruled.limits, *limits))
        request_json = encode_chat_request(ruled.request)
        admitted, reserved = await self._admit(principal, ruled, now_ms)
        ticket = admitted.ticket
        generation_id, created = self.new_id()
        call = self._router.complete(
            router_service_pb2.CompleteRequest(
                generation_id=generation_id,
                caller=caller_of(
                    principal, application, admitted, ruled.policy, self._byok_fee.ppm(principal.org, now_ms)
                ),
                request_json=request_json,
                with_metadata=application.wants_metadata,
            )
        )
        generation = Generation(
            generation_id,
            created,
            call,
            on_outcome=lambda outcome: self._settle(ticket, reserved, outcome),
            stages=ruled.stages,
        )
        generation.request = ruled.request
        try:
            yield generation
            if generation.outcome is not None:
                await call.finish()
        finally:
            call.cancel()
            if generation.refused:
                ticket.release()
                reserved.release()
            else:
                reserved.close()
                # Without an outcome the caller went away, or the router did: what was generated is billed, and the edge
                # does not know how much yet. After an outcome this changes nothing.
                self._late_costs.expect(principal.org.org_id, generation_id, ticket)

    @staticmethod
    def _settle(ticket: Ticket, reserved: Reservation, outcome: completion_pb2.Outcome) -> None:
        ticket.charge(outcome.cost_nano_usd)
        usage = outcome.usage
        reserved.settle(usage.prompt_tokens + usage.completion_tokens, outcome.cost_nano_usd)
        reserved.close()

    async def _admit(self, principal: Principal, ruled: Ruled, now_ms: int) -> tuple[Admitted, Reservation]:
        catalog = await self._catalog.require()
        body = ruled.request.body
        slugs = [slug for slug in (body.model, *(body.models or ())) if slug]
        demand = Demand(estimate_prompt_tokens(body), body.output_limit, body.n or 1)
        easily = principal.org.balance // EASILY
        quote = quote_of(catalog.offers_for(slugs), demand, self._default_output_tokens, easily)
        claim = Claim(catalog.names_of(slugs), demand.prompt_tokens + quote.usual.output_tokens, quote.usual.amount)
        reserved = await self._rules.reserve(ruled, claim, now_ms)
        try:
            return await self._admission.admit(principal, quote, now_ms, has_budget=ruled.has_budget), reserved
        except BaseException:
            # Also when the caller goes away while a lease is waited for.
            reserved.release()
            raise
