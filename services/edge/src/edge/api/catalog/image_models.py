"""`GET /images/models` and `GET /images/models/{author}/{slug}/endpoints`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from aiohttp import web
from msgspec import UNSET, Struct, UnsetType

from contracts import money
from contracts.operations import Operation, operations_of
from edge.api.http import operations as described
from edge.api.http.answer import Answer
from edge.api.http.exchange import Exchange
from edge.api.http.routes import Access, Route
from edge.catalog import CatalogMirror
from edge.domain.errors import NotFoundError
from turnpike.router.v1 import catalog_pb2
from turnpike.usage.v1 import token_usage_pb2

_encode = msgspec.json.Encoder().encode

# How each parameter of a request for pictures is described where an endpoint honours it.
_CAPABILITIES: Final[dict[str, dict[str, Any]]] = {
    "n": {"type": "range", "min": 1, "max": 10},
    "size": {"type": "enum", "values": ["512", "1K", "2K", "4K", "auto"]},
    "quality": {"type": "enum", "values": ["auto", "low", "medium", "high"]},
    "background": {"type": "enum", "values": ["auto", "transparent", "opaque"]},
    "output_format": {"type": "enum", "values": ["png", "jpeg", "webp", "svg"]},
    "output_compression": {"type": "range", "min": 0, "max": 100},
    "seed": {"type": "boolean"},
    "input_references": {"type": "boolean"},
}


class Capability(Struct, frozen=True, kw_only=True):
    """What a parameter may be: one of `values`, a number from `min` to `max`, or anything where it is `boolean`."""

    type: str
    values: list[str] | UnsetType = UNSET
    min: float | UnsetType = UNSET
    max: float | UnsetType = UNSET


class ImageArchitecture(Answer, frozen=True, kw_only=True):
    """What a model reads and writes."""

    input_modalities: list[str]
    output_modalities: list[str]


class ImageModel(Answer, frozen=True, kw_only=True):
    """A model that makes pictures. `endpoints` is the address of the rest."""

    id: str
    name: str
    description: str
    created: int
    architecture: ImageArchitecture
    supported_parameters: dict[str, Capability]
    supports_streaming: bool
    endpoints: str


class ImageModelList(Answer, frozen=True, kw_only=True):
    """Models that make pictures."""

    data: list[ImageModel]


class ImagePrice(Answer, frozen=True, kw_only=True):
    """What one thing costs, in dollars."""

    billable: str
    unit: str
    cost_usd: float


class ImageEndpoint(Answer, frozen=True, kw_only=True):
    """A provider of a model that makes pictures."""

    provider_name: str
    provider_slug: str
    provider_tag: str | None
    supported_parameters: dict[str, Capability]
    allowed_passthrough_parameters: list[str]
    supports_streaming: bool
    pricing: list[ImagePrice]


class ImageEndpoints(Answer, frozen=True, kw_only=True):
    """The providers of a model that makes pictures."""

    id: str
    endpoints: list[ImageEndpoint]


_LIST: Final = described.Operation(
    id="listImageModels", tag="Images", summary="List the models that make pictures", answer=ImageModelList
)
_ENDPOINTS: Final = described.Operation(
    id="listImageModelEndpoints", tag="Images", summary="List the endpoints of a model that makes pictures",
    answer=ImageEndpoints,
)  # fmt: skip


class ImageModels:
    """Serves the models that make pictures: only what can be called here."""

    def __init__(self, mirror: CatalogMirror) -> None:
        """Make the handler.

        Args:
            mirror: has the catalogue.
        """
        self._mirror = mirror

    def routes(self) -> Sequence[Route]:
        """Say what is answered here."""
        return (
            Route("GET", "/images/models", Access.ANYBODY, self.list, _LIST),
            Route("GET", "/images/models/{author}/{slug}/endpoints", Access.ANYBODY, self.endpoints, _ENDPOINTS),
        )

    async def list(self, exchange: Exchange) -> web.StreamResponse:
        """List the models.

        Raises:
            DependencyError: there is no catalogue yet.
        """
        catalog = await self._mirror.require()
        return exchange.json(_encode({"data": [_model(model) for model in catalog.models if _makes_images(model)]}))

    async def endpoints(self, exchange: Exchange) -> web.StreamResponse:
        """List the endpoints of a model.

        Raises:
            DependencyError: there is no catalogue yet.
            NotFoundError: there is no such model that makes pictures.
        """
        slug = f"{exchange.params['author']}/{exchange.params['slug']}"
        model = (await self._mirror.require()).find(slug)
        if model is None or not _makes_images(model):
            raise NotFoundError(f"Image model {slug} not found")
        return exchange.json(_encode({"id": model.id, "endpoints": [_endpoint(each) for each in model.endpoints]}))


def _makes_images(model: catalog_pb2.Model) -> bool:
    return Operation.IMAGES in operations_of(model.output_modalities)


def _model(model: catalog_pb2.Model) -> dict[str, Any]:
    supported = {name for endpoint in model.endpoints for name in endpoint.supported_parameters}
    return {
        "id": model.id,
        "name": model.name,
        "description": model.description,
        "created": model.created_at.seconds,
        "architecture": {
            "input_modalities": list(model.input_modalities),
            "output_modalities": list(model.output_modalities),
        },
        "supported_parameters": _capabilities(supported),
        "supports_streaming": False,
        "endpoints": f"/api/v1/images/models/{model.id}/endpoints",
    }


def _endpoint(endpoint: catalog_pb2.Endpoint) -> dict[str, Any]:
    return {
        "provider_name": endpoint.provider_name,
        "provider_slug": endpoint.provider,
        "provider_tag": endpoint.tag or None,
        "supported_parameters": _capabilities(endpoint.supported_parameters),
        "allowed_passthrough_parameters": [],
        "supports_streaming": False,
        "pricing": [
            {"billable": billable, "unit": unit, "cost_usd": msgspec.Raw(money.pico_to_decimal_text(pico).encode())}
            for billable, unit, pico in _prices(endpoint.price)
            if pico
        ],
    }


def _prices(price: token_usage_pb2.Price) -> tuple[tuple[str, str, int], ...]:
    return (
        ("output_image", "image", price.image_pico_usd),
        ("output_image", "token", price.completion_pico_usd),
        ("input_text", "token", price.prompt_pico_usd),
    )


def _capabilities(supported: Iterable[str]) -> dict[str, dict[str, Any]]:
    names = set(supported)
    return {name: described for name, described in _CAPABILITIES.items() if name in names}
