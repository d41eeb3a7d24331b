"""What an endpoint asks, from the catalogue that the edge mirrors."""

from __future__ import annotations

from contracts import money
from contracts.money import UnitPrice
from edge.catalog import CatalogMirror


class MirroredPrices:
    """The price of an endpoint, or, where the mirror does not know it, the dearest of its model: what its hold was made of."""

    def __init__(self, mirror: CatalogMirror) -> None:
        self._mirror = mirror

    def __call__(self, endpoint_id: str, model: str) -> UnitPrice | None:
        """Look a price up; None when the mirror knows neither the endpoint nor the model."""
        catalog = self._mirror.catalog
        if catalog is None:
            return None
        listed = catalog.find_listed(model)
        if listed is not None:
            for endpoint in listed.endpoints:
                if endpoint.id == endpoint_id:
                    return money.price_from_proto(endpoint.price)
        offers = catalog.offers_for([model])
        if not offers:
            return None
        return max((offer.price for offer in offers), key=lambda price: price.completion + price.prompt)
