"""A router that is asked only once the journal knows what is asked, and whose silence is noticed."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from contracts.money import UnitPrice
from contracts.operations import OPERATIONS_BY_NUMBER, Operation
from dialects.chat import decode_chat_request
from dialects.errors import InvalidRequestError
from dialects.estimates import estimate_text_tokens, measure_prompt, text_bytes
from edge.domain.errors import BrokenAnswerError, DependencyError, EdgeError
from edge.domain.unended import NOTHING, Delivered, Ending, Opening, statement_of
from edge.journal.ports import OpenGenerations
from edge.journal.unended import Unended
from edge.ports import CompletionCall, CompletionRouter
from servicekit.clock import Clock
from turnpike.router.v1 import completion_pb2, invocation_pb2, router_service_pb2

PriceOf = Callable[[str, str], UnitPrice | None]
"""What an endpoint asks, by its id; by the model's name, what its dearest one asks. None when neither is known."""


class _Asked(msgspec.Struct):
    """The member of a request that the journal keeps; the prompt is skipped."""

    model: str = ""


_asked = msgspec.json.Decoder(_Asked).decode


class JournaledCall:
    """One completion under way, noted as open until its outcome is there."""

    __slots__ = ("_call", "_content", "_open", "_opening", "_reasoning", "_request", "_route", "_router")

    def __init__(
        self,
        router: JournaledRouter,
        call: CompletionCall,
        request: router_service_pb2.CompleteRequest,
        opening: Opening,
    ) -> None:
        self._router = router
        self._call = call
        self._request = request
        self._opening = opening
        self._open = True
        self._route: completion_pb2.Route | None = None
        self._content = self._reasoning = 0

    async def read(self) -> router_service_pb2.CompleteResponse | None:
        """Return the next message; None after the last one.

        Raises:
            RefusedError: refused before anything was answered.
            DependencyError: the router did not answer.
            BrokenAnswerError: the answer had begun.
        """
        try:
            message = await self._call.read()
        except EdgeError as error:
            self._failed(error)
            raise
        if message is None:
            self._failed(BrokenAnswerError("The answer was cut off before it was complete."))
            return None
        if message.HasField("route"):
            self._route = message.route
        for delta in message.deltas:
            if delta.content:
                self._content += text_bytes(delta.content)
            if delta.reasoning:
                self._reasoning += text_bytes(delta.reasoning)
            for call in delta.tool_calls:
                self._content += text_bytes(call.name) + text_bytes(call.arguments)
        if message.HasField("outcome"):
            self._close()
        return message

    async def finish(self) -> None:
        """See `CompletionCall`."""
        await self._call.finish()

    def cancel(self) -> None:
        """Stop the work, at the provider too. Of a call that is not over the caller has gone away."""
        self._call.cancel()
        if self._open:
            self._open = False
            self._router.left(self._opening, self._delivered())

    def _failed(self, error: EdgeError) -> None:
        if not self._open:
            return
        if self._route is None:
            # Nothing was answered: the caller is told so and owes nothing. What the router has met, it states itself.
            self._close()
            return
        self._open = False
        kind = error.error_type if isinstance(error, BrokenAnswerError) else "server"
        self._router.broke(self._opening, self._delivered(), kind)

    def _close(self) -> None:
        if self._open:
            self._open = False
            self._router.ended(self._opening)

    def _delivered(self) -> Delivered:
        route = self._route
        if route is None:
            return NOTHING
        try:
            prompt = measure_prompt(decode_chat_request(self._request.request_json).body).estimated_tokens
        except InvalidRequestError:
            prompt = 0
        reasoning = estimate_text_tokens(self._reasoning)
        return Delivered(
            prompt_tokens=prompt,
            completion_tokens=estimate_text_tokens(self._content) + reasoning,
            reasoning_tokens=reasoning,
            model=route.model,
            provider=route.provider,
            endpoint_id=route.endpoint_id,
            is_byok=route.is_byok,
            price=self._router.price_of(route.endpoint_id, route.model),
        )


class UnnotedCall:
    """A completion that is not sent, because it could not be noted: its first read says so."""

    __slots__ = ("_error",)

    def __init__(self, error: DependencyError) -> None:
        self._error = error

    async def read(self) -> router_service_pb2.CompleteResponse | None:
        """Raise why. See `CompletionCall`.

        Raises:
            DependencyError: always.
        """
        raise self._error

    async def finish(self) -> None:
        """Nothing was begun."""

    def cancel(self) -> None:
        """Nothing was begun."""


class JournaledRouter:
    """A CompletionRouter in front of another one."""

    def __init__(
        self, router: CompletionRouter, opened: OpenGenerations, unended: Unended, price_of: PriceOf, clock: Clock
    ) -> None:
        """Make it.

        Args:
            router: does the work.
            opened: where generations are noted before they begin.
            unended: takes those whose outcome did not come.
            price_of: what an endpoint asks.
            clock: dates them.
        """
        self._router = router
        self._opened = opened
        self._unended = unended
        self.price_of = price_of
        self._clock = clock

    def complete(self, request: router_service_pb2.CompleteRequest) -> CompletionCall:
        """Note a request and send it. One that cannot be noted is not sent, and its call raises DependencyError."""
        opening = self._opening(request.generation_id, request.caller, request.request_json, Operation.COMPLETION)
        try:
            self._opened.begin(opening)
        except DependencyError as error:
            return UnnotedCall(error)
        return JournaledCall(self, self._router.complete(request), request, opening)

    async def invoke(self, request: invocation_pb2.InvokeRequest) -> invocation_pb2.InvokeResponse:
        """Note an operation and have it done.

        Raises:
            RefusedError: refused, or not answered in time.
            DependencyError: it cannot be noted, or the router did not answer.
        """
        operation = OPERATIONS_BY_NUMBER[request.operation]
        opening = self._opening(request.generation_id, request.caller, request.request_json, operation)
        self._opened.begin(opening)
        try:
            answer = await self._router.invoke(request)
        except EdgeError:
            # It is answered in one piece or not at all: the caller got nothing and owes nothing.
            self.ended(opening)
            raise
        except BaseException:
            self.left(opening, NOTHING)
            raise
        self.ended(opening)
        return answer

    async def list_models(self, known_version: str) -> router_service_pb2.ListModelsResponse:
        """List the catalogue; without models when `known_version` is in force.

        Raises:
            DependencyError: the router did not answer.
        """
        return await self._router.list_models(known_version)

    def ended(self, opening: Opening) -> None:
        """Its outcome is here, or it was refused."""
        self._opened.end(opening.generation_id)

    def broke(self, opening: Opening, delivered: Delivered, error_type: str) -> None:
        """The router is gone, or at least its answer."""
        self._unended.broke(statement_of(opening, Ending.BROKEN, self._now_ms(), delivered, error_type))

    def left(self, opening: Opening, delivered: Delivered) -> None:
        """The caller is gone."""
        self._unended.left(statement_of(opening, Ending.LEFT, self._now_ms(), delivered))

    def _opening(
        self, generation_id: str, caller: completion_pb2.Caller, request_json: bytes, operation: Operation
    ) -> Opening:
        try:
            model = _asked(request_json).model
        except msgspec.MsgspecError:
            model = ""
        started_ms = caller.started_unix_ms = self._now_ms()
        return Opening(
            generation_id=generation_id,
            org_id=caller.org_id,
            key_id=caller.key_id,
            workspace_id=caller.workspace_id,
            member_id=caller.member_id,
            lease_id=caller.lease_id,
            model=model,
            hold=caller.hold_nano_usd,
            started_ms=started_ms,
            operation=operation,
            byok_fee_ppm=caller.byok_fee_ppm,
        )

    def _now_ms(self) -> int:
        return int(self._clock.now().timestamp() * 1_000)
