"""`POST /messages/count_tokens`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from aiohttp import web

from dialects.messages import MessagesBody, decode_messages_request
from edge.api.http.answer import Answer
from edge.api.http.bodies import JsonBodies
from edge.api.http.exchange import Exchange
from edge.api.http.operations import Operation
from edge.api.http.routes import Access, Route
from edge.api.inference.messages.answers import AnthropicErrorAnswer, MessagesHeaders
from edge.api.inference.messages.errors import anthropic_error
from edge.domain.capacity import Capacity
from edge.domain.request_rate import RequestRate
from edge.generations import unix_ms
from edge.token_counts import TokenCounts
from servicekit.clock import Clock

_encode = msgspec.json.Encoder().encode


class TokenCountAnswer(Answer, frozen=True, kw_only=True):
    """How many tokens the prompt has. `source` is `tokenizer` where the model's own has counted all of it, else `estimate`."""

    input_tokens: int
    source: str


_OPERATION: Final = Operation(
    id="countMessagesTokens",
    tag="Messages",
    summary="Count the tokens of a message without sending it to a model",
    body=MessagesBody,
    headers=MessagesHeaders,
    answer=TokenCountAnswer,
    errors=(429,),
    error=AnthropicErrorAnswer,
    description="Nothing is charged.",
)


class CountTokens:
    """Counts the tokens of messages."""

    def __init__(
        self, counts: TokenCounts, bodies: JsonBodies, capacity: Capacity, rate: RequestRate, clock: Clock
    ) -> None:
        """Make the handler.

        Args:
            counts: counts.
            bodies: reads requests.
            capacity: bounds how many there are at the same time.
            rate: bounds how many a key may send.
            clock: tells the time of that.
        """
        self._counts = counts
        self._bodies = bodies
        self._capacity = capacity
        self._rate = rate
        self._clock = clock

    def routes(self) -> Sequence[Route]:
        """Say what is answered here."""
        return (
            Route(
                "POST",
                "/messages/count_tokens",
                Access.INFERENCE_KEY,
                self.count,
                _OPERATION,
                error_body=anthropic_error,
            ),
        )

    async def count(self, exchange: Exchange) -> web.StreamResponse:
        """Answer a request.

        Raises:
            EdgeError: it is refused.
            InvalidRequestError: it is not valid.
        """
        with self._capacity.place():
            self._rate.count(exchange.principal.key.key_id, unix_ms(self._clock.now()))
            request = decode_messages_request(await self._bodies.read(exchange.request))
            counted = await self._counts.count(request.chat)
        source = "tokenizer" if counted.exact else "estimate"
        return exchange.json(_encode(TokenCountAnswer(input_tokens=counted.tokens, source=source)))
