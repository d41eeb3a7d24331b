"""`GET /datasets/rankings-daily`, `/datasets/model-rankings` and `/datasets/app-rankings`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

from edge.api.datasets.answers import DailyModel, Dataset, RankedApp, RankedModel
from edge.api.datasets.categories import AppCategory, AppGroup, UseCase, categories_for, categories_of
from edge.api.datasets.windows import Now, meta, traffic, window
from edge.api.http.days import Day, Days
from edge.api.http.exchange import Exchange
from edge.api.http.operations import Operation
from edge.api.http.queries import read_query
from edge.api.http.routes import Access, Route
from edge.catalog import CatalogMirror
from edge.domain.errors import InvalidInputError
from edge.insight_ports import Insight
from turnpike.metering.v1 import insight_service_pb2 as messages

_encode = msgspec.json.Encoder().encode
_TOP: Final = 50
_PERIODS: Final = {
    "day": messages.PERIOD_DAY,
    "week": messages.PERIOD_WEEK,
    "month": messages.PERIOD_MONTH,
}
Sort = Annotated[
    Literal["popular", "trending"],
    Meta(description="`trending`: what is more than the mean of the three periods of the same length before."),
]
By = Annotated[Literal["tokens", "requests"], Meta(description="What decides.")]
Limit = Annotated[int, Meta(ge=1, le=100)]
Offset = Annotated[int, Meta(ge=0, le=100)]
Modality = Literal["text", "image", "image_output", "audio", "tool_calling"]
ContextBucket = Literal["1K", "10K", "100K", "1M", "10M"]


class DailyQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which traffic of models, and in what buckets. `category` stands alone among the last four."""

    start_date: Day | None = None
    end_date: Day | None = None
    period: Annotated[Literal["day", "week", "month"], Meta(description="Length of a bucket.")] | None = None
    by: By = "tokens"
    modality: Modality | None = None
    context_bucket: ContextBucket | None = None
    category: UseCase | None = None
    language_type: Literal["natural", "programming"] | None = None


class ModelRankingQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which models, in what order."""

    start_date: Day | None = None
    end_date: Day | None = None
    sort: Sort = "popular"
    by: By = "tokens"
    category: UseCase | None = None
    limit: Limit = 50
    offset: Offset = 0


class AppRankingQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which applications, in what order."""

    start_date: Day | None = None
    end_date: Day | None = None
    sort: Sort = "popular"
    by: By = "tokens"
    category: AppGroup | None = None
    subcategory: AppCategory | None = None
    limit: Limit = 50
    offset: Offset = 0


_PUBLIC: Final = "Private traffic is not in it. Token counts are the providers' own."
_DAILY: Final = Operation(
    id="getRankingsDaily",
    tag="Datasets",
    summary="Get the 50 models with the most traffic of each day, week or month",
    description=f"All others are one row, `other`, the last of its date. {_PUBLIC}",
    query=DailyQuery,
    answer=Dataset[DailyModel],
    errors=(504,),
)
_MODELS: Final = Operation(
    id="getModelRankings",
    tag="Datasets",
    summary="Get models in the order of their traffic or its growth",
    description=_PUBLIC,
    query=ModelRankingQuery,
    answer=Dataset[RankedModel],
    errors=(504,),
)
_APPS: Final = Operation(
    id="getAppRankings",
    tag="Datasets",
    summary="Get applications in the order of their traffic or its growth",
    description=f"Applications name themselves with `HTTP-Referer` and `X-OpenRouter-Title`. {_PUBLIC}",
    query=AppRankingQuery,
    answer=Dataset[RankedApp],
    errors=(504,),
)


class Rankings:
    """Serves rankings."""

    def __init__(self, insight: Insight, mirror: CatalogMirror, now: Now) -> None:
        """Make the handler.

        Args:
            insight: counts.
            mirror: knows what models read and write.
            now: says what today is.
        """
        self._insight = insight
        self._mirror = mirror
        self._now = now

    def routes(self) -> Sequence[Route]:
        """Say what is answered here."""
        return (
            Route("GET", "/datasets/rankings-daily", Access.ANY_KEY, self.daily, _DAILY),
            Route("GET", "/datasets/model-rankings", Access.ANY_KEY, self.models, _MODELS),
            Route("GET", "/datasets/app-rankings", Access.ANY_KEY, self.apps, _APPS),
        )

    async def daily(self, exchange: Exchange) -> web.StreamResponse:
        """Return the models with the most traffic over time.

        Raises:
            InvalidInputError: conditions that do not go together, or days that are none.
            DependencyError: nobody could say.
        """
        query = read_query(exchange.request, DailyQuery)
        period = _period(query)
        now = self._now()
        days = window(query.start_date, query.end_date, now)
        conditions: dict[str, Any] = {
            "categories": categories_for(query.category),
            "context_bucket": query.context_bucket or "",
        }
        if query.modality == "tool_calling":
            conditions["with_tools"] = True
        elif query.modality is not None:
            conditions |= {"only_models": True, "models": await self._models_with(query.modality)}
        answer = await self._insight.model_series(
            messages.GetModelSeriesRequest(
                filter=traffic(days, **conditions),
                period=_PERIODS[period],
                top=_TOP,
                by_requests=query.by == "requests",
            )
        )
        rows = [
            {
                "date": row.date,
                "model_permaslug": self._permaslug(row.model),
                "total_tokens": str(row.tokens),
                "total_requests": row.requests,
            }
            for row in answer.rows
        ]
        return exchange.json(_encode({"data": rows, "meta": meta(days, now)}))

    async def models(self, exchange: Exchange) -> web.StreamResponse:
        """Return models in order.

        Raises:
            InvalidInputError: the query is not valid.
            DependencyError: nobody could say.
        """
        query = read_query(exchange.request, ModelRankingQuery)
        days, rows = await self._ranked(query, messages.RANKED_KIND_MODEL, categories_for(query.category))
        data = [
            {
                "rank": row.rank,
                "model_permaslug": self._permaslug(row.name),
                "total_tokens": str(row.tokens),
                "total_requests": row.requests,
            }
            for row in rows
        ]
        return exchange.json(_encode({"data": data, "meta": meta(days, self._now())}))

    async def apps(self, exchange: Exchange) -> web.StreamResponse:
        """Return applications in order.

        Raises:
            InvalidInputError: the query is not valid.
            DependencyError: nobody could say.
        """
        query = read_query(exchange.request, AppRankingQuery)
        categories = categories_of(query.category, query.subcategory)
        days, rows = await self._ranked(query, messages.RANKED_KIND_APP, categories)
        data = [
            {
                "rank": row.rank,
                "app_id": row.app_id,
                "app_name": row.title or row.name,
                "total_tokens": str(row.tokens),
                "total_requests": row.requests,
            }
            for row in rows
        ]
        return exchange.json(_encode({"data": data, "meta": meta(days, self._now())}))

    async def _ranked(
        self,
        query: ModelRankingQuery | AppRankingQuery,
        kind: messages.RankedKind.ValueType,
        categories: tuple[str, ...],
    ) -> tuple[Days, Sequence[messages.Ranked]]:
        days = window(query.start_date, query.end_date, self._now())
        answer = await self._insight.rankings(
            messages.GetRankingsRequest(
                filter=traffic(days, categories=categories),
                kind=kind,
                trending=query.sort == "trending",
                by_requests=query.by == "requests",
                limit=query.limit,
                offset=query.offset,
            )
        )
        return days, answer.rows

    async def _models_with(self, modality: str) -> list[str]:
        """The models that write text or images, or read images or sound."""
        catalog = await self._mirror.require()
        written = modality.removesuffix("_output")
        reads = modality in {"image", "audio"}
        return sorted(
            {
                model.id
                for model in catalog.listed.values()
                if written in (model.input_modalities if reads else model.output_modalities)
            }
        )

    def _permaslug(self, model: str) -> str:
        catalog = self._mirror.catalog
        found = None if catalog is None else catalog.find_listed(model)
        return model if found is None else found.canonical_slug or model


def _period(query: DailyQuery) -> str:
    if query.language_type is not None:
        raise InvalidInputError("language_type: not offered, because no prompt is looked into", "language_type")
    if query.category is None:
        return query.period or "day"
    if query.modality is not None or query.context_bucket is not None:
        raise InvalidInputError("category: cannot be combined with modality or context_bucket", "category")
    if query.period == "day":
        raise InvalidInputError("period: must be week or month with category", "period")
    return query.period or "week"
