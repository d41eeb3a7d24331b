"""What the routes of the catalogue say about themselves."""

from __future__ import annotations

from typing import Final

from edge.api.catalog.answers import (
    CountAnswer,
    EndpointListAnswer,
    EndpointsAnswer,
    ModelAnswer,
    ModelList,
    ProvidersAnswer,
)
from edge.api.catalog.feed import FEED
from edge.api.catalog.query import CountQuery, ModelsQuery, PageQuery
from edge.api.http.operations import Operation

LIST: Final = Operation(
    id="getModels",
    tag="Models",
    summary="List the models that can be called here",
    query=ModelsQuery,
    answer=ModelList,
    content={FEED: None},
    description=(
        "Newest first unless `sort` says otherwise. A model of which a figure is not known meets no bound on it, and comes "
        "after the others in an order by it; nothing is known here of categories, benchmarks and distillation."
    ),
)
COUNT: Final = Operation(
    id="listModelsCount", tag="Models", summary="Count the models", query=CountQuery, answer=CountAnswer
)
USER: Final = Operation(
    id="listModelsUser",
    tag="Models",
    summary="List the models that the key in use may call",
    query=PageQuery,
    answer=ModelList,
)
EMBEDDINGS: Final = Operation(
    id="listEmbeddingsModels",
    tag="Embeddings",
    summary="List the models that make embeddings",
    query=PageQuery,
    answer=ModelList,
)
GET: Final = Operation(
    id="getModel",
    tag="Models",
    summary="Get a model",
    answer=ModelAnswer,
    description="By its slug, its dated slug or an alias such as `~author/family-latest`.",
)
ENDPOINTS: Final = Operation(
    id="listEndpoints",
    tag="Endpoints",
    summary="List the endpoints of a model",
    answer=EndpointsAnswer,
    description=(
        "Those that cannot be called here have `status` -10. Latency (milliseconds to the first token) and throughput (tokens "
        "per second) are null without a key, and where nothing was measured."
    ),
)
ZDR: Final = Operation(
    id="listEndpointsZdr",
    tag="Endpoints",
    summary="List the endpoints that keep no prompts",
    answer=EndpointListAnswer,
)
PROVIDERS: Final = Operation(id="listProviders", tag="Providers", summary="List the providers", answer=ProvidersAnswer)
