"""What the edge states of generations, as usage events in a spool that a publisher brings to Kafka."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from contracts import money, topics
from contracts.ids import usage_event_id
from contracts.operations import OPERATION_NUMBERS
from edge.domain.errors import DependencyError
from edge.domain.unended import Ending, Statement
from servicekit.metrics import CounterSpec, GaugeSpec
from servicekit.spool import RecordSpool, SpoolEntry, SpoolError, SpoolMetrics
from turnpike.usage.v1 import token_usage_pb2, usage_event_pb2

METRICS: Final = SpoolMetrics(
    published=CounterSpec(
        "edge.usage_event.published", "{event}", "Usage events of the edge that Kafka has acknowledged."
    ),
    size=GaugeSpec("edge.usage_spool.size", "By", "Bytes of the files of the edge's spool."),
    backlog=GaugeSpec("edge.usage_event.backlog", "{event}", "Usage events of the edge that Kafka does not have yet."),
)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RANKS: Final = {
    Ending.BROKEN: usage_event_pb2.USAGE_RANK_EDGE_ESTIMATE,
    Ending.LEFT: usage_event_pb2.USAGE_RANK_EDGE_ESTIMATE,
    Ending.UNKNOWN: usage_event_pb2.USAGE_RANK_REAPER,
}
_STATUSES: Final = {
    Ending.BROKEN: usage_event_pb2.GENERATION_STATUS_FAILED,
    Ending.LEFT: usage_event_pb2.GENERATION_STATUS_CANCELLED,
    Ending.UNKNOWN: usage_event_pb2.GENERATION_STATUS_FAILED,
}


def usage_event_of(statement: Statement, region: str = "") -> usage_event_pb2.UsageEvent:
    """Make the usage event of a statement: the id of the router's own, with a lower rank."""
    opening, delivered = statement.opening, statement.delivered
    event = usage_event_pb2.UsageEvent(
        event_id=usage_event_id(opening.generation_id),
        rank=_RANKS[statement.ending],
        generation_id=opening.generation_id,
        org_id=opening.org_id,
        key_id=opening.key_id,
        workspace_id=opening.workspace_id,
        member_id=opening.member_id,
        lease_id=opening.lease_id,
        hold_nano_usd=opening.hold,
        model=delivered.model,
        requested_model=opening.model,
        provider=delivered.provider,
        endpoint_id=delivered.endpoint_id,
        status=_STATUSES[statement.ending],
        operation=OPERATION_NUMBERS[opening.operation],
        error_type=statement.error_type,
        cost_nano_usd=statement.cost,
        provider_cost_nano_usd=statement.provider_cost,
        region=region,
    )
    if statement.ending is not Ending.LEFT:
        event.finish_reason = "error"
    event.started_at.FromMilliseconds(opening.started_ms)
    event.ended_at.FromMilliseconds(statement.ended_ms)
    if delivered.price is not None:
        event.price.CopyFrom(money.price_to_proto(delivered.price))
        event.usage.CopyFrom(money.tokens_to_proto(delivered.counts))
        event.usage.source = token_usage_pb2.TOKEN_COUNT_SOURCE_ESTIMATE
        if delivered.is_byok:
            event.is_byok = True
            event.byok_fee_ppm = opening.byok_fee_ppm
    return event


class SpooledStatements:
    """The Statements in a spool."""

    def __init__(self, spool: RecordSpool, instance: str) -> None:
        self._spool = spool
        self._source = f"/edge/{instance}"

    async def state(self, statement: Statement) -> None:
        """Keep a statement until Kafka has it.

        Raises:
            DependencyError: the disk does not take it.
        """
        event = usage_event_of(statement)
        headers = topics.cloud_event_headers(
            topics.USAGE,
            event_id=event.event_id,
            source=self._source,
            time=_EPOCH + timedelta(milliseconds=statement.ended_ms),
            subject=event.generation_id,
        )
        try:
            await self._spool.keep(SpoolEntry(event.org_id.encode(), headers, event.SerializeToString()))
        except SpoolError:
            raise DependencyError("spool") from None
