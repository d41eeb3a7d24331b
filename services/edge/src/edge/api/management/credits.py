"""`GET /credits`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aiohttp import web

from contracts import money
from edge.api.http.error_answer import ErrorAnswer
from edge.api.http.errors import HttpError
from edge.api.http.exchange import Exchange
from edge.api.http.operations import Operation
from edge.api.http.routes import Access, Route
from edge.api.management.key_answers import CreditAnswer
from edge.ports import KeyRegistry

_GET: Final = Operation(
    id="getCredits", tag="Credits", summary="Get what the organization bought and used", answer=CreditAnswer
)

_COINBASE: Final = Operation(
    id="createCoinbaseCharge",
    tag="Credits",
    summary="Say that credit is not bought this way any more",
    answer=ErrorAnswer,
    status=410,
)


class Credits:
    """Serves what an organisation bought and used."""

    def __init__(self, registry: KeyRegistry) -> None:
        """Make the handler.

        Args:
            registry: knows the credit.
        """
        self._registry = registry

    def routes(self) -> Sequence[Route]:
        """Say what is answered here."""
        return (
            Route("GET", "/credits", Access.MONEY, self.get, _GET),
            Route("POST", "/credits/coinbase", Access.ANYBODY, self.coinbase, _COINBASE),
        )

    async def get(self, exchange: Exchange) -> web.StreamResponse:
        """Return credit and usage of the caller's organisation, in dollars, as exact decimal numbers.

        Raises:
            DependencyError: nobody could say.
        """
        credit = await self._registry.credits(exchange.principal.org.org_id)
        total, used = money.usd_text(credit.total_credits_nano_usd), money.usd_text(credit.total_usage_nano_usd)
        return exchange.json(f'{{"data":{{"total_credits":{total},"total_usage":{used}}}}}'.encode())

    async def coinbase(self, exchange: Exchange) -> web.StreamResponse:
        """Answer as OpenRouter has done since its payments by Coinbase ended.

        Raises:
            HttpError: always (410).
        """
        raise HttpError(410, "Payments by Coinbase have ended. Buy credit in another way.", "not_found")
