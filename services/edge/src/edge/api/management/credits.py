"""`GET /credits`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aiohttp import web

from contracts import money
from edge.api.http.exchange import Exchange
from edge.api.http.operations import Operation
from edge.api.http.routes import Access, Route
from edge.api.management.key_answers import CreditAnswer
from edge.ports import KeyRegistry

_GET: Final = Operation(
    id="getCredits", tag="Credits", summary="Get what the organization bought and used", answer=CreditAnswer
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
        return (Route("GET", "/credits", Access.MANAGEMENT_KEY, self.get, _GET),)

    async def get(self, exchange: Exchange) -> web.StreamResponse:
        """Return credit and usage of the caller's organisation, in dollars, as exact decimal numbers.

        Raises:
            DependencyError: nobody could say.
        """
        credit = await self._registry.credits(exchange.principal.org.org_id)
        total, used = money.usd_text(credit.total_credits_nano_usd), money.usd_text(credit.total_usage_nano_usd)
        return exchange.json(f'{{"data":{{"total_credits":{total},"total_usage":{used}}}}}'.encode())
