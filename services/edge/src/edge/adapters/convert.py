"""Published records to what the edge knows of keys and organisations, and back for the snapshot."""

from __future__ import annotations

from datetime import date, timedelta
from ipaddress import ip_network

from google.protobuf.timestamp_pb2 import Timestamp

from contracts.ids import KeyId, OrgId
from contracts.money import NanoUsd
from contracts.rate_limits import rate_limits_from_proto, rate_limits_to_proto
from contracts.spend import SpendInterval, spend_from_proto, spend_to_proto
from edge.domain.budgets import WorkspaceBudget
from edge.domain.org_limits import OrgRateLimit
from edge.domain.principal import Key, KeyAccess, KeyKind, Org
from turnpike.accounts.v1 import records_pb2

_EPOCH = date(1970, 1, 1)
_KINDS = {
    records_pb2.KEY_KIND_INFERENCE: KeyKind.INFERENCE,
    records_pb2.KEY_KIND_MANAGEMENT: KeyKind.MANAGEMENT,
}
_KIND_NUMBERS = {kind: number for number, kind in _KINDS.items()}


def key_from_proto(record: records_pb2.KeyRecord) -> Key:
    """Read a key.

    Raises:
        ValueError: the record does not say what the key is or may do, or says it in words that are not known here: it
            could be a restriction that would not be kept.
    """
    kind = _KINDS.get(record.kind)
    if kind is None or not record.digest or not record.key_id or not record.org_id:
        raise ValueError("incomplete key record")
    return Key(
        key_id=KeyId(record.key_id),
        digest=record.digest,
        org_id=OrgId(record.org_id),
        kind=kind,
        disabled=record.disabled,
        limit=NanoUsd(record.limit_nano_usd) if record.HasField("limit_nano_usd") else None,
        spent=NanoUsd(record.spent_nano_usd),
        expires_at_ms=_to_ms(record.expires_at) if record.HasField("expires_at") else None,
        revision=record.revision,
        limit_reset=SpendInterval(record.limit_reset),
        include_byok_in_limit=record.include_byok_in_limit,
        logs_content=record.logs_content,
        spend=spend_from_proto(record.spend),
        access=KeyAccess(
            models=tuple(record.allowed_models),
            providers=tuple(record.allowed_providers),
            networks=tuple(ip_network(text) for text in record.ip_ranges),
        ),
        rate_limits=rate_limits_from_proto(record.rate_limits),
        creator_user_id=record.creator_user_id,
        guardrail_id=record.guardrail_id,
        member_guardrail_id=record.member_guardrail_id,
        creator_spend=spend_from_proto(record.creator_spend) if record.HasField("creator_spend") else None,
        workspace_id=record.workspace_id,
        lookup_digest=record.lookup_digest,
    )


def key_to_proto(key: Key) -> records_pb2.KeyRecord:
    """Write a key; what the edge does not know of it stays empty."""
    record = records_pb2.KeyRecord(
        key_id=key.key_id,
        digest=key.digest,
        org_id=key.org_id,
        kind=_KIND_NUMBERS[key.kind],
        disabled=key.disabled,
        limit_nano_usd=key.limit,
        spent_nano_usd=key.spent,
        revision=key.revision,
        limit_reset=records_pb2.SpendInterval.ValueType(key.limit_reset),
        include_byok_in_limit=key.include_byok_in_limit,
        logs_content=key.logs_content,
        spend=spend_to_proto(key.spend),
        allowed_models=key.access.models,
        allowed_providers=key.access.providers,
        ip_ranges=[str(network) for network in key.access.networks],
        rate_limits=rate_limits_to_proto(key.rate_limits),
        creator_user_id=key.creator_user_id,
        guardrail_id=key.guardrail_id,
        member_guardrail_id=key.member_guardrail_id,
        creator_spend=None if key.creator_spend is None else spend_to_proto(key.creator_spend),
        workspace_id=key.workspace_id,
        lookup_digest=key.lookup_digest,
    )
    if key.expires_at_ms is not None:
        record.expires_at.FromMilliseconds(key.expires_at_ms)
    return record


def org_from_proto(record: records_pb2.OrgRecord) -> Org:
    """Read an organisation. One whose status is not understood may not spend.

    Raises:
        ValueError: the record does not say which organisation it is, or has a limit that is not known here.
    """
    if not record.org_id:
        raise ValueError("incomplete organisation record")
    return Org(
        org_id=OrgId(record.org_id),
        active=record.status == records_pb2.ORG_STATUS_ACTIVE,
        balance=NanoUsd(record.balance_nano_usd),
        revision=record.revision,
        byok_revision=record.byok_revision,
        byok_spend=spend_from_proto(record.byok_spend),
        budgets=tuple(
            WorkspaceBudget(
                workspace_id=budget.workspace_id,
                interval=SpendInterval(budget.interval),
                limit=NanoUsd(budget.limit_nano_usd),
                spent=NanoUsd(budget.spent_nano_usd),
                day=_EPOCH + timedelta(days=budget.day),
            )
            for budget in record.workspace_budgets
        ),
        rate_limits=tuple(
            OrgRateLimit(each.workspace_id, limit)
            for each in record.rate_limits
            for limit in rate_limits_from_proto([each.limit])
        ),
    )


def org_to_proto(org: Org) -> records_pb2.OrgRecord:
    """Write an organisation; what the edge does not know of it stays empty."""
    return records_pb2.OrgRecord(
        org_id=org.org_id,
        status=records_pb2.ORG_STATUS_ACTIVE if org.active else records_pb2.ORG_STATUS_FROZEN,
        balance_nano_usd=org.balance,
        revision=org.revision,
        byok_revision=org.byok_revision,
        byok_spend=spend_to_proto(org.byok_spend),
        workspace_budgets=[
            records_pb2.WorkspaceBudget(
                workspace_id=budget.workspace_id,
                interval=records_pb2.SpendInterval.ValueType(budget.interval),
                limit_nano_usd=budget.limit,
                spent_nano_usd=budget.spent,
                day=(budget.day - _EPOCH).days,
            )
            for budget in org.budgets
        ],
        rate_limits=[
            records_pb2.OrgRateLimit(workspace_id=each.workspace_id, limit=rate_limits_to_proto([each.limit])[0])
            for each in org.rate_limits
        ],
    )


def _to_ms(moment: Timestamp) -> int:
    return moment.seconds * 1000 + moment.nanos // 1_000_000
