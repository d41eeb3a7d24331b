"""Answers about everybody out of ClickHouse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from metering.adapters.clickhouse_calls import ClickHouseCalls
from metering.adapters.insight_statements import (
    MODEL_SERIES,
    PROVIDER_DAYS,
    RANKINGS,
    SESSION_COSTS,
    SHARES,
    TITLES,
)
from metering.domain.insight import (
    DAY_S,
    LEAST_SESSIONS,
    MarketShare,
    ModelTraffic,
    Period,
    ProviderDay,
    Ranked,
    RankedKind,
    RankingQuestion,
    SessionCost,
    SessionQuestion,
    ShareHolder,
    TrafficFilter,
)
from metering.domain.rollups import Rollup, UnixSeconds

_SETTINGS: Final = {"do_not_merge_across_partitions_select_final": 1, "use_skip_indexes_if_final": 1}
# A title is looked for in the last days only: it is read from the events.
_TITLE_DAYS: Final = 7


class ClickHouseInsight:
    """The Insight on ClickHouse."""

    def __init__(self, calls: ClickHouseCalls) -> None:
        self._calls = calls

    async def model_series(
        self, traffic: TrafficFilter, period: Period, top: int, *, by_requests: bool
    ) -> Sequence[ModelTraffic]:
        """The `top` models of each bucket and `other`."""
        parameters = _traffic(traffic) | {"top": top, "by_requests": by_requests}
        statement = MODEL_SERIES[period, bool(traffic.categories)]
        return [ModelTraffic(*row) for row in await self._ask(statement, parameters)]

    async def rankings(self, question: RankingQuestion) -> Sequence[Ranked]:
        """One page of a ranking."""
        traffic = question.traffic
        length = traffic.end - traffic.start
        first = traffic.start - 3 * length if question.trending else traffic.start
        parameters = _traffic(traffic) | {
            "first": max(first, 0),
            "begin": traffic.start,
            "trending": question.trending,
            "by_requests": question.by_requests,
            "limit": question.limit,
            "offset": question.offset,
        }
        rows = await self._ask(RANKINGS[question.kind, bool(traffic.categories)], parameters)
        titles: Mapping[str, str] = {}
        if question.kind is RankedKind.APP:
            titles = await self._titles(traffic.start, traffic.end, [row[0] for row in rows])
        return [
            Ranked(rank, name, number, titles.get(name, ""), tokens, requests, score)
            for rank, (name, number, tokens, requests, score) in enumerate(rows, start=question.offset + 1)
        ]

    async def market_shares(self, traffic: TrafficFilter, holder: ShareHolder, period: Period) -> Sequence[MarketShare]:
        """Shares by date, largest first."""
        return [MarketShare(*row) for row in await self._ask(SHARES[holder, period], _traffic(traffic))]

    async def session_costs(self, question: SessionQuestion) -> Sequence[SessionCost]:
        """Costs of sessions by application, model and length."""
        parameters = {
            "first": question.start,
            "end": question.end,
            "apps": list(question.apps),
            "model": question.model,
            "turn_range": question.turn_range,
            "least_sessions": LEAST_SESSIONS,
            "limit": question.limit,
            "offset": question.offset,
        }
        rows = await self._ask(SESSION_COSTS, parameters)
        titles = await self._titles(question.start, question.end, sorted({row[0] for row in rows}))
        return [
            SessionCost(app, number, titles.get(app, ""), model, turns, median, sessions)
            for app, number, model, turns, median, sessions in rows
        ]

    async def provider_days(self, start: UnixSeconds, end: UnixSeconds, provider: str) -> Sequence[ProviderDay]:
        """Reliability by provider and day."""
        parameters = {"first": start, "end": end, "provider": provider, "rollup": Rollup.PAGE_DAYS.value}
        return [ProviderDay(*row) for row in await self._ask(PROVIDER_DAYS, parameters)]

    async def _titles(self, start: int, end: int, apps: Sequence[str]) -> Mapping[str, str]:
        if not apps:
            return {}
        parameters = {"first": max(start, end - _TITLE_DAYS * DAY_S), "end": end, "apps": list(apps)}
        return dict(await self._ask(TITLES, parameters))

    async def _ask(self, statement: str, parameters: Mapping[str, Any]) -> Sequence[Any]:
        return await self._calls.ask(
            lambda client: client.query(statement, dict(parameters), settings=_SETTINGS).result_rows
        )


def _traffic(traffic: TrafficFilter) -> dict[str, Any]:
    return {
        "first": traffic.start,
        "end": traffic.end,
        "categories": list(traffic.categories),
        "only_models": traffic.models is not None,
        "models": list(traffic.models or ()),
        "context_bucket": -1 if traffic.context_bucket is None else traffic.context_bucket,
        "with_tools": traffic.with_tools,
    }
