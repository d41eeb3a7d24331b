"""Which lines of the list of models a query keeps. Pure: the time and the statistics are given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta

from edge.api.catalog.figures import tool_success_rate
from edge.api.catalog.query import ModelsQuery
from edge.api.catalog.rows import Row
from edge.domain.regions import is_within
from edge.ports import EndpointStats
from turnpike.router.v1 import catalog_pb2

Keeps = Callable[[Row], bool]
# Pico-dollars per token are millionths of dollars per million tokens.
_PICO_PER_DOLLAR_A_MILLION = 1_000_000


def filters(query: ModelsQuery, now: datetime, stats: EndpointStats) -> list[Keeps]:
    """What every line must meet.

    Args:
        query: checked.
        now: in UTC.
        stats: of the endpoints.
    """
    return [*_of_models(query), *_of_endpoints(query), *_of_prices(query), *_of_figures(query, now, stats)]


def writes(modalities: str | None) -> Keeps:
    """Keep the models that write one of these; text unless said, `all` for every one."""
    wanted = _names(modalities or "text")
    return lambda row: "all" in wanted or not wanted.isdisjoint(row.model.output_modalities)


def _of_models(query: ModelsQuery) -> Iterator[Keeps]:
    yield writes(query.output_modalities)
    if query.input_modalities is not None:
        reads = _names(query.input_modalities)
        yield lambda row: reads.issubset(row.model.input_modalities)
    if query.q is not None:
        words = query.q.lower().split()
        yield lambda row: all(word in f"{row.model.name} {row.id}".lower() for word in words)
    if query.arch is not None:
        family = query.arch.strip().lower()
        yield lambda row: family in (row.model.tokenizer.lower(), *row.model.name.lower().replace(":", " ").split())
    if query.model_authors is not None:
        authors = _names(query.model_authors)
        yield lambda row: row.model.id.partition("/")[0].lower() in authors
    if query.category is not None or query.distillable == "true":
        # Neither is known of any model here.
        yield lambda row: False


def _of_endpoints(query: ModelsQuery) -> Iterator[Keeps]:
    if query.supported_parameters is not None:
        parameters = _names(query.supported_parameters)
        yield _one_endpoint(lambda endpoint: parameters.issubset(endpoint.supported_parameters))
    if query.context is not None:
        context = query.context
        yield lambda row: row.model.context_length >= context
    if query.providers is not None:
        providers = _names(query.providers)
        yield _one_endpoint(
            lambda endpoint: endpoint.provider in providers or endpoint.provider_name.lower() in providers
        )
    if query.zdr is not None:
        yield _one_endpoint(keeps_nothing)
    if query.region is not None:
        region = query.region
        yield _one_endpoint(lambda endpoint: is_within(region, endpoint.datacenters))


def _of_prices(query: ModelsQuery) -> Iterator[Keeps]:
    yield _between(query.min_price, query.max_price, lambda row: _dollars(row.top.price.prompt_pico_usd))
    yield _between(
        query.min_output_price, query.max_output_price, lambda row: _dollars(row.top.price.completion_pico_usd)
    )


def _of_figures(query: ModelsQuery, now: datetime, stats: EndpointStats) -> Iterator[Keeps]:
    if query.min_age_days is not None:
        latest = now - timedelta(days=min(query.min_age_days, 100_000))
        yield lambda row: row.model.created_at.seconds <= latest.timestamp()
    if query.max_age_days is not None:
        earliest = now - timedelta(days=min(query.max_age_days, 100_000))
        yield lambda row: row.model.created_at.seconds >= earliest.timestamp()
    yield _between(query.min_tool_success_rate, query.max_tool_success_rate, lambda row: tool_success_rate(row, stats))
    for lowest, highest in (
        (query.min_intelligence_index, query.max_intelligence_index),
        (query.min_coding_index, query.max_coding_index),
        (query.min_agentic_index, query.max_agentic_index),
    ):
        yield _between(lowest, highest, lambda row: None)


def keeps_nothing(endpoint: catalog_pb2.Endpoint) -> bool:
    """Say whether prompts are not kept at an endpoint: it would do where zero data retention is asked for."""
    return endpoint.HasField("data_policy") and not endpoint.data_policy.retains_prompts


def _one_endpoint(fits: Callable[[catalog_pb2.Endpoint], bool]) -> Keeps:
    return lambda row: any(fits(endpoint) for endpoint in row.model.endpoints)


def _between(lowest: float | None, highest: float | None, figure: Callable[[Row], float | None]) -> Keeps:
    if lowest is None and highest is None:
        return lambda row: True

    def keeps(row: Row) -> bool:
        value = figure(row)
        if value is None:
            return False
        return (lowest is None or value >= lowest) and (highest is None or value <= highest)

    return keeps


def _dollars(pico_per_token: int) -> float:
    return pico_per_token / _PICO_PER_DOLLAR_A_MILLION


def _names(text: str) -> frozenset[str]:
    return frozenset(_lowered(text.split(",")))


def _lowered(names: Iterable[str]) -> Iterator[str]:
    return (name.strip().lower() for name in names if name.strip())
