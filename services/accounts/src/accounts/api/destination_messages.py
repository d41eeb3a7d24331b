"""Destinations on the wire."""

from __future__ import annotations

from accounts.delivery_messages import state_from_proto
from accounts.domain.accounts import checked_id
from accounts.domain.destinations import (
    ChangedDestination,
    DeliveryReport,
    Destination,
    DestinationConfig,
    DestinationFields,
)
from accounts.domain.errors import InvalidFieldError
from accounts.records import timestamp
from contracts.broadcast import rules_from_proto, rules_to_proto
from turnpike.accounts.v1 import byok_service_pb2, records_pb2
from turnpike.accounts.v1 import destination_service_pb2 as messages


def fields_from_proto(message: messages.DestinationFields) -> DestinationFields:
    """Read what a destination is to be.

    Raises:
        InvalidFieldError: a group of rules does not say how they go together.
    """
    try:
        rules = rules_from_proto(message.filter_rules) if message.HasField("filter_rules") else None
    except ValueError:
        raise InvalidFieldError("filter_rules.groups", "must say whether their logic is and or or") from None
    return DestinationFields(
        name=message.name.strip(),
        enabled=message.enabled,
        privacy_mode=message.privacy_mode,
        sampling_rate=message.sampling_rate,
        allowed_digests=tuple(message.allowed_key_digests.values) if message.HasField("allowed_key_digests") else None,
        filter_rules=rules,
        broadcasts_cost=message.broadcasts_cost,
        broadcasts_identity=message.broadcasts_identity,
        broadcasts_request_context=message.broadcasts_request_context,
    )


def config_from_proto(message: messages.DestinationConfig) -> DestinationConfig:
    """Read a configuration."""
    return DestinationConfig(dict(message.members), dict(message.headers))


def destination_to_proto(destination: Destination, config: DestinationConfig | None = None) -> messages.Destination:
    """Write a destination, with what people may see of its configuration."""
    fields = destination.fields
    digests = fields.allowed_digests
    return messages.Destination(
        destination_id=str(destination.destination_id),
        org_id=str(destination.org_id),
        workspace_id=str(destination.workspace_id),
        type=messages.DestinationType.ValueType(destination.type),
        fields=messages.DestinationFields(
            name=fields.name,
            enabled=fields.enabled,
            privacy_mode=fields.privacy_mode,
            sampling_rate=fields.sampling_rate,
            allowed_key_digests=None if digests is None else records_pb2.TextList(values=digests),
            filter_rules=None if fields.filter_rules is None else rules_to_proto(fields.filter_rules),
            broadcasts_cost=fields.broadcasts_cost,
            broadcasts_identity=fields.broadcasts_identity,
            broadcasts_request_context=fields.broadcasts_request_context,
        ),
        config=None
        if config is None
        else messages.DestinationConfig(members=dict(config.members), headers=dict(config.headers)),
        created_at=timestamp(destination.created_at),
        updated_at=timestamp(destination.updated_at),
        version=destination.version,
    )


def changed_to_proto(changed: ChangedDestination) -> messages.SealedDestination:
    """Write a destination for its sender."""
    sealed = changed.sealed
    return messages.SealedDestination(
        destination=destination_to_proto(changed.destination),
        sealed_config=None
        if sealed is None
        else byok_service_pb2.SealedKey(
            kek_id=sealed.kek_id,
            wrapped_key=sealed.wrapped_key,
            key_nonce=sealed.key_nonce,
            ciphertext=sealed.ciphertext,
            nonce=sealed.nonce,
        ),
        active=changed.active,
        revision=changed.revision,
    )


def report_from_proto(message: messages.DeliveryReport) -> DeliveryReport:
    """Read what a sender says.

    Raises:
        InvalidFieldError: an id is none, or the state is not one.
    """
    return DeliveryReport(
        org_id=checked_id("org_id", message.org_id),
        destination_id=checked_id("destination_id", message.destination_id),
        state=state_from_proto(message.state),
        gives_up=message.gives_up,
        version=message.version,
    )
