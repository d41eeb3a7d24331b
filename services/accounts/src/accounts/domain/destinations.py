"""Destinations of broadcast as values, and the rules of their fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from accounts.domain.accounts import checked_digest, checked_text
from accounts.domain.errors import InvalidFieldError, NotFoundError
from contracts.broadcast import MIN_SAMPLING_RATE, TYPE_NAMES, DestinationType, FilterRules, purpose_of
from contracts.sealed_secrets import Purpose, SealedSecret

MAX_NAME: Final = 100
MAX_OF_TYPE: Final = 5
MAX_KEYS: Final = 100
MAX_ATTEMPTS: Final = 20


@dataclass(frozen=True, slots=True)
class DestinationConfig:
    """Where a destination is, with what lets in there. Shows nothing of itself."""

    members: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False, default_factory=dict)


@dataclass(frozen=True, slots=True)
class DestinationFields:
    """What an owner says of a destination. None restricts nothing."""

    name: str
    enabled: bool = True
    privacy_mode: bool = True
    sampling_rate: float = 1.0
    allowed_digests: tuple[str, ...] | None = None
    filter_rules: FilterRules | None = None
    broadcasts_cost: bool = False
    broadcasts_identity: bool = False
    broadcasts_request_context: bool = False


@dataclass(frozen=True, slots=True)
class Destination:
    """A destination, without its configuration. `version` counts the configurations that were stored in its place."""

    destination_id: UUID
    org_id: UUID
    workspace_id: UUID
    type: DestinationType
    fields: DestinationFields
    created_at: datetime
    updated_at: datetime
    version: int = 1

    @property
    def purpose(self) -> Purpose:
        """What is authenticated with the configuration."""
        return purpose_of(str(self.org_id), str(self.destination_id), self.version)

    def state(self) -> Mapping[str, Any]:
        """What the audit log says of it: everything but the configuration, of which it says the version."""
        fields = self.fields
        return {
            "name": fields.name,
            "type": TYPE_NAMES[self.type],
            "workspace_id": str(self.workspace_id),
            "enabled": fields.enabled,
            "privacy_mode": fields.privacy_mode,
            "sampling_rate": fields.sampling_rate,
            "api_key_hashes": None if fields.allowed_digests is None else list(fields.allowed_digests),
            "has_filter_rules": fields.filter_rules is not None,
            "broadcast_generation_cost": fields.broadcasts_cost,
            "broadcast_generation_identity": fields.broadcasts_identity,
            "broadcast_generation_request_context": fields.broadcasts_request_context,
            "config_version": self.version,
        }


@dataclass(frozen=True, slots=True)
class StoredDestination:
    """A destination with its configuration, sealed."""

    destination: Destination
    sealed: SealedSecret


@dataclass(frozen=True, slots=True)
class ChangedDestination:
    """A destination as its sender needs it. `sealed` is None where nothing is to be sent."""

    destination: Destination
    sealed: SealedSecret | None
    active: bool
    revision: int


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """An attempt to send. `status` is 0 when there was no answer, `error` a word of ours, empty when it succeeded."""

    at: datetime
    events: int
    status: int
    duration_ms: int
    error: str


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """What became of the deliveries to a destination: generations, attempts, times."""

    delivered: int = 0
    refused: int = 0
    dropped: int = 0
    waiting: int = 0
    failures: int = 0
    delivered_at: datetime | None = None
    failing_since: datetime | None = None
    attempts: tuple[DeliveryAttempt, ...] = ()


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """What a sender says of one destination."""

    org_id: UUID
    destination_id: UUID
    state: DeliveryState
    gives_up: bool
    version: int


def total_of(states: list[DeliveryState]) -> DeliveryState:
    """Add up what several senders say of one destination."""
    attempts = sorted((each for state in states for each in state.attempts), key=lambda each: each.at, reverse=True)
    delivered = [state.delivered_at for state in states if state.delivered_at is not None]
    failing = [state.failing_since for state in states if state.failing_since is not None]
    return DeliveryState(
        delivered=sum(state.delivered for state in states),
        refused=sum(state.refused for state in states),
        dropped=sum(state.dropped for state in states),
        waiting=sum(state.waiting for state in states),
        failures=sum(state.failures for state in states),
        delivered_at=max(delivered, default=None),
        failing_since=min(failing, default=None),
        attempts=tuple(attempts[:MAX_ATTEMPTS]),
    )


def checked_type(number: int) -> DestinationType:
    """Return a type by its number on the wire.

    Raises:
        InvalidFieldError: there is none of it.
    """
    try:
        return DestinationType(number)
    except ValueError:
        raise InvalidFieldError("type", f"must be one of {', '.join(TYPE_NAMES.values())}") from None


def checked_destination_fields(fields: DestinationFields) -> DestinationFields:
    """Return fields, checked.

    Raises:
        InvalidFieldError: a field breaks its rule.
    """
    checked_text("name", fields.name, 1, MAX_NAME)
    if not MIN_SAMPLING_RATE <= fields.sampling_rate <= 1:
        raise InvalidFieldError("sampling_rate", f"must be between {MIN_SAMPLING_RATE} and 1")
    if fields.allowed_digests is not None:
        if not 1 <= len(fields.allowed_digests) <= MAX_KEYS:
            raise InvalidFieldError("api_key_hashes", f"must have 1 to {MAX_KEYS} entries")
        for index, digest in enumerate(fields.allowed_digests):
            try:
                checked_digest(digest)
            except NotFoundError:
                raise InvalidFieldError(f"api_key_hashes[{index}]", "must be the hash of an API key") from None
    if fields.filter_rules is not None:
        problem = fields.filter_rules.problem()
        if problem is not None:
            raise InvalidFieldError(f"filter_rules.{problem[0]}", problem[1])
    return fields
