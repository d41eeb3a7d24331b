"""Keys and organisations on the wire: `KeyRecord`, `OrgRecord` and the outbox messages that publish them."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID, uuid5

from google.protobuf.timestamp_pb2 import Timestamp

from accounts.domain.accounts import ApiKey, Org
from accounts.domain.budgets import BudgetInterval, BudgetState
from accounts.domain.ports import OutboxMessage
from contracts.guardrails import Guardrail, guardrail_to_proto
from contracts.rate_limits import rate_limits_to_proto
from contracts.spend import PeriodSpend, Spend, SpendInterval, spend_to_proto
from contracts.topics import GUARDRAILS, KEYS, ORGS, Topic, cloud_event_headers
from turnpike.accounts.v1 import records_pb2

_SOURCE = "/accounts"
_EPOCH = date(1970, 1, 1)
# Makes the event id of a change from what changed and its revision, so that publishing it again repeats the id.
_CHANGES = UUID("3f9d5d0e-7b53-5d8b-8f5c-0d3e6b6f1a42")


def timestamp(moment: datetime | None) -> Timestamp | None:
    """Put a moment on the wire."""
    if moment is None:
        return None
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def key_to_proto(key: ApiKey) -> records_pb2.KeyRecord:
    """Put a key on the wire."""
    return records_pb2.KeyRecord(
        key_id=str(key.key_id),
        digest=key.digest,
        org_id=str(key.org_id),
        name=key.name,
        label=key.label,
        kind=records_pb2.KeyKind.ValueType(key.kind),
        disabled=key.disabled,
        limit_nano_usd=key.limit,
        spent_nano_usd=key.spent,
        created_at=timestamp(key.created_at),
        updated_at=timestamp(key.updated_at),
        expires_at=timestamp(key.expires_at),
        revision=key.revision,
        limit_reset=records_pb2.SpendInterval.ValueType(key.settings.limit_reset),
        include_byok_in_limit=key.settings.include_byok_in_limit,
        logs_content=key.settings.logs_content,
        allowed_models=key.settings.allowed_models,
        allowed_providers=key.settings.allowed_providers,
        ip_ranges=key.settings.ip_ranges,
        creator_user_id=key.settings.creator_user_id,
        last_used_at=timestamp(key.last_used_at),
        spend=spend_to_proto(key.spend),
        rate_limits=rate_limits_to_proto(key.settings.rate_limits),
        workspace_id=str(key.workspace_id or key.org_id),
        guardrail_id=key.bonds.guardrail_id,
        member_guardrail_id=key.bonds.member_guardrail_id,
        creator_spend=None if key.bonds.creator_spend is None else spend_to_proto(key.bonds.creator_spend),
        lookup_digest=key.lookup_digest,
    )


def org_to_proto(org: Org) -> records_pb2.OrgRecord:
    """Put an organisation on the wire."""
    return records_pb2.OrgRecord(
        org_id=str(org.org_id),
        name=org.name,
        status=records_pb2.OrgStatus.ValueType(org.status),
        balance_nano_usd=org.balance,
        settled_until=timestamp(org.settled_until),
        revision=org.revision,
        workspace_budgets=[budget_to_proto(budget) for budget in org.budgets],
        byok_revision=org.byok_revision,
        byok_spend=spend_to_proto(Spend(org.byok_month, byok=PeriodSpend(monthly=org.byok_month_spent)))
        if org.byok_month_spent
        else None,
        rate_limits=[
            records_pb2.OrgRateLimit(
                workspace_id="" if each.workspace_id is None else str(each.workspace_id),
                limit=rate_limits_to_proto([each.limit])[0],
            )
            for each in org.rate_limits
        ],
    )


def budget_to_proto(budget: BudgetState) -> records_pb2.WorkspaceBudget:
    """Put a budget with what was spent on the wire."""
    interval = SpendInterval.NEVER if budget.interval is BudgetInterval.LIFETIME else SpendInterval(budget.interval)
    return records_pb2.WorkspaceBudget(
        workspace_id=str(budget.workspace_id),
        interval=records_pb2.SpendInterval.ValueType(interval),
        limit_nano_usd=budget.limit,
        spent_nano_usd=budget.spent,
        day=(budget.day - _EPOCH).days,
    )


def key_message(key: ApiKey, now: datetime) -> OutboxMessage:
    """The record that publishes a key."""
    return OutboxMessage(
        KEYS.name,
        key.looked_up_by,
        key_to_proto(key).SerializeToString(),
        _headers(KEYS, key.looked_up_by, key.revision, str(key.key_id), now),
    )


def key_tombstone(digest: str, key_id: UUID, revision: int, now: datetime) -> OutboxMessage:
    """The record that publishes that a key is gone."""
    return OutboxMessage(KEYS.name, digest, None, _headers(KEYS, digest, revision, str(key_id), now))


def org_message(org: Org, now: datetime) -> OutboxMessage:
    """The record that publishes an organisation."""
    org_id = str(org.org_id)
    return OutboxMessage(
        ORGS.name, org_id, org_to_proto(org).SerializeToString(), _headers(ORGS, org_id, org.revision, org_id, now)
    )


def guardrail_message(guardrail: Guardrail, now: datetime) -> OutboxMessage:
    """The record that publishes a guardrail."""
    name = guardrail.guardrail_id
    return OutboxMessage(
        GUARDRAILS.name,
        name,
        guardrail_to_proto(guardrail).SerializeToString(),
        _headers(GUARDRAILS, name, guardrail.revision, name, now),
    )


def guardrail_tombstone(guardrail_id: str, revision: int, now: datetime) -> OutboxMessage:
    """The record that publishes that a guardrail is gone."""
    headers = _headers(GUARDRAILS, guardrail_id, revision, guardrail_id, now)
    return OutboxMessage(GUARDRAILS.name, guardrail_id, None, headers)


def _headers(topic: Topic, key: str, revision: int, subject: str, now: datetime) -> dict[str, str]:
    event_id = str(uuid5(_CHANGES, f"{topic.name}/{key}/{revision}"))
    return cloud_event_headers(topic, event_id=event_id, source=_SOURCE, time=now, subject=subject)
