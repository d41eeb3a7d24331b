"""Types of the answers about destinations of broadcast."""

from __future__ import annotations

from typing import Any, Final, Literal

from contracts.broadcast import TYPE_NAMES, DestinationType, FilterLogic, FilterRules, rules_from_proto
from edge.api.http.answer import Answer, Data, Page
from edge.api.http.timestamps import timestamp_json
from edge.api.observability.bodies import RuleField, RuleOperator, TypeName
from turnpike.accounts.v1 import destination_service_pb2 as messages

_LOGICS: Final = {FilterLogic.AND: "and", FilterLogic.OR: "or"}


class FilterRuleRow(Answer, frozen=True, kw_only=True, omit_defaults=True):
    """A statement about a generation."""

    field: RuleField
    operator: RuleOperator
    value: str | float | None = None


class FilterGroupRow(Answer, frozen=True, kw_only=True):
    """Statements of which all must hold, or one."""

    logic: Literal["and", "or"]
    rules: list[FilterRuleRow]


class FilterRulesRow(Answer, frozen=True, kw_only=True):
    """Which generations are sent."""

    enabled: bool
    groups: list[FilterGroupRow]


class DestinationRow(Answer, frozen=True, kw_only=True):
    """A destination. In `config` secrets and the values of headers are masked.

    `regions` and `broadcast_generation_cost_allocation` are OpenRouter's and always the same here.
    """

    id: str
    type: TypeName
    name: str | None
    workspace_id: str
    enabled: bool
    privacy_mode: bool
    sampling_rate: float
    api_key_hashes: list[str] | None
    filter_rules: FilterRulesRow | None
    broadcast_generation_cost: bool
    broadcast_generation_cost_allocation: bool
    broadcast_generation_identity: bool
    broadcast_generation_request_context: bool
    regions: list[Literal["global"]]
    config: dict[str, Any]
    created_at: str
    updated_at: str


class DeliveryAttemptRow(Answer, frozen=True, kw_only=True):
    """An attempt to send. `status` is null when there was no answer, `error` a word such as `timeout`, null when it succeeded."""

    at: str
    events: int
    status: int | None
    duration_ms: int
    error: str | None


class DeliveriesRow(Answer, frozen=True, kw_only=True):
    """What became of the deliveries to a destination: generations, failed attempts, times, and the latest attempts."""

    delivered: int
    refused: int
    dropped: int
    waiting: int
    failures: int
    last_delivered_at: str | None
    failing_since: str | None
    stopped_at: str | None
    attempts: list[DeliveryAttemptRow]


DestinationAnswer = Data[DestinationRow]
DestinationPage = Page[DestinationRow]
DeliveriesAnswer = Data[DeliveriesRow]


def destination_row(destination: messages.Destination) -> DestinationRow:
    """Write a destination."""
    fields = destination.fields
    config: dict[str, Any] = dict(sorted(destination.config.members.items()))
    if destination.config.headers:
        config["headers"] = dict(sorted(destination.config.headers.items()))
    return DestinationRow(
        id=destination.destination_id,
        type=TYPE_NAMES[DestinationType(destination.type)],  # type: ignore[arg-type]  # the names are those of the type
        name=fields.name or None,
        workspace_id=destination.workspace_id,
        enabled=fields.enabled,
        privacy_mode=fields.privacy_mode,
        sampling_rate=fields.sampling_rate,
        api_key_hashes=list(fields.allowed_key_digests.values) if fields.HasField("allowed_key_digests") else None,
        filter_rules=_rules_row(rules_from_proto(fields.filter_rules)) if fields.HasField("filter_rules") else None,
        broadcast_generation_cost=fields.broadcasts_cost,
        broadcast_generation_cost_allocation=False,
        broadcast_generation_identity=fields.broadcasts_identity,
        broadcast_generation_request_context=fields.broadcasts_request_context,
        regions=["global"],
        config=config,
        created_at=timestamp_json(destination.created_at),
        updated_at=timestamp_json(destination.updated_at),
    )


def deliveries_row(found: messages.GetDeliveriesResponse) -> DeliveriesRow:
    """Write what became of deliveries."""
    state = found.state
    return DeliveriesRow(
        delivered=state.delivered,
        refused=state.refused,
        dropped=state.dropped,
        waiting=state.waiting,
        failures=state.failures,
        last_delivered_at=timestamp_json(state.delivered_at) if state.HasField("delivered_at") else None,
        failing_since=timestamp_json(state.failing_since) if state.HasField("failing_since") else None,
        stopped_at=timestamp_json(found.stopped_at) if found.HasField("stopped_at") else None,
        attempts=[
            DeliveryAttemptRow(
                at=timestamp_json(each.at),
                events=each.events,
                status=each.status or None,
                duration_ms=each.duration_ms,
                error=each.error or None,
            )
            for each in state.attempts
        ],
    )


def _rules_row(rules: FilterRules) -> FilterRulesRow:
    return FilterRulesRow(
        enabled=rules.enabled,
        groups=[
            FilterGroupRow(
                logic=_LOGICS[group.logic],  # type: ignore[arg-type]  # the words are those of the type
                rules=[
                    FilterRuleRow(field=rule.field, operator=rule.operator, value=rule.value)  # type: ignore[arg-type]  # likewise words of the type
                    for rule in group.rules
                ],
            )
            for group in rules.groups
        ],
    )
