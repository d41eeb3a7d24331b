"""Destinations as rows."""

from __future__ import annotations

from typing import Any, Final

from accounts.domain.destinations import Destination, DestinationFields
from contracts.broadcast import DestinationType, FilterRules, rules_from_proto, rules_to_proto
from contracts.sealed_secrets import SealedSecret
from turnpike.accounts.v1 import destination_service_pb2 as messages

DESTINATION_COLUMNS: Final = (
    "destination_id, org_id, workspace_id, type, name, enabled, privacy_mode, sampling_rate, allowed_digests, filter_rules, "
    "broadcasts_cost, broadcasts_identity, broadcasts_request_context, created_at, updated_at, version"
)
SEALED_COLUMNS: Final = "kek_id, wrapped_key, key_nonce, ciphertext, nonce"


def columns_of(destination: Destination) -> dict[str, Any]:
    """Write a destination."""
    fields = destination.fields
    return {
        "destination_id": destination.destination_id,
        "org_id": destination.org_id,
        "workspace_id": destination.workspace_id,
        "type": int(destination.type),
        "name": fields.name,
        "enabled": fields.enabled,
        "privacy_mode": fields.privacy_mode,
        "sampling_rate": fields.sampling_rate,
        "allowed_digests": None if fields.allowed_digests is None else list(fields.allowed_digests),
        "filter_rules": None
        if fields.filter_rules is None
        else rules_to_proto(fields.filter_rules).SerializeToString(),
        "broadcasts_cost": fields.broadcasts_cost,
        "broadcasts_identity": fields.broadcasts_identity,
        "broadcasts_request_context": fields.broadcasts_request_context,
        "created_at": destination.created_at,
        "updated_at": destination.updated_at,
        "version": destination.version,
    }


def sealed_columns_of(sealed: SealedSecret) -> dict[str, Any]:
    """Write what is sealed."""
    return {
        "kek_id": sealed.kek_id,
        "wrapped_key": sealed.wrapped_key,
        "key_nonce": sealed.key_nonce,
        "ciphertext": sealed.ciphertext,
        "nonce": sealed.nonce,
    }


def destination_from_row(row: Any) -> Destination:
    """Read a destination."""
    return Destination(
        destination_id=row.destination_id,
        org_id=row.org_id,
        workspace_id=row.workspace_id,
        type=DestinationType(row.type),
        fields=DestinationFields(
            name=row.name,
            enabled=row.enabled,
            privacy_mode=row.privacy_mode,
            sampling_rate=row.sampling_rate,
            allowed_digests=None if row.allowed_digests is None else tuple(row.allowed_digests),
            filter_rules=_rules(row.filter_rules),
            broadcasts_cost=row.broadcasts_cost,
            broadcasts_identity=row.broadcasts_identity,
            broadcasts_request_context=row.broadcasts_request_context,
        ),
        created_at=row.created_at,
        updated_at=row.updated_at,
        version=row.version,
    )


def sealed_from_row(row: Any) -> SealedSecret:
    """Read what is sealed."""
    return SealedSecret(row.kek_id, row.wrapped_key, row.key_nonce, row.ciphertext, row.nonce)


def _rules(stored: bytes | None) -> FilterRules | None:
    return None if stored is None else rules_from_proto(messages.FilterRules.FromString(stored))
