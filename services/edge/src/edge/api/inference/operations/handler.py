"""Every way in for operations beside completions: one handler that runs a request of any of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Protocol

from aiohttp import web

from contracts.operations import Operation
from dialects.operations.codec import OperationRequest
from edge.api.http.exchange import Exchange
from edge.api.http.routes import Handler, Route
from edge.api.inference.attribution import application_of
from edge.domain.capacity import Capacity
from edge.domain.request_rate import RequestRate
from edge.generations import unix_ms
from edge.operations import Operations, Performed
from servicekit.clock import Clock


class OperationSkin(Protocol):
    """One operation in the words of the public API."""

    @property
    def operation(self) -> Operation:
        """Which it is."""
        ...

    def route(self, handler: Handler) -> Route:
        """Say where it is asked for."""
        ...

    async def read(self, exchange: Exchange) -> OperationRequest:
        """Read and validate a request.

        Raises:
            HttpError: its body cannot be read.
            InvalidRequestError: it is not valid.
        """
        ...

    def render(self, exchange: Exchange, request: OperationRequest, performed: Performed) -> web.Response:
        """Write the answer.

        Raises:
            BrokenAnswerError: the router answered something else.
        """
        ...


class OperationRoutes:
    """Answers operations."""

    def __init__(
        self,
        skins: Sequence[OperationSkin],
        operations: Operations,
        capacity: Capacity,
        rate: RequestRate,
        clock: Clock,
    ) -> None:
        """Make the handler.

        Args:
            skins: the operations that are offered.
            operations: has them done.
            capacity: bounds how many there are at the same time.
            rate: bounds how many a key may ask for.
            clock: tells the time.
        """
        self._skins = skins
        self._operations = operations
        self._capacity = capacity
        self._rate = rate
        self._clock = clock

    def routes(self) -> Sequence[Route]:
        """Say what is answered here."""
        return [skin.route(partial(self._answer, skin)) for skin in self._skins]

    async def _answer(self, skin: OperationSkin, exchange: Exchange) -> web.StreamResponse:
        """Answer a request.

        Raises:
            EdgeError: it is refused.
            InvalidRequestError: it is not valid.
        """
        with self._capacity.place():
            principal = exchange.principal
            self._rate.count(principal.key.key_id, unix_ms(self._clock.now()))
            request = await skin.read(exchange)
            exchange.generation_id = self._operations.new_id()
            performed = await self._operations.perform(
                principal,
                skin.operation,
                request,
                application_of(exchange),
                exchange.generation_id,
                exchange.limits,
            )
            route = performed.answer.route
            exchange.model, exchange.provider = route.model, route.provider_name
            return skin.render(exchange, request, performed)
