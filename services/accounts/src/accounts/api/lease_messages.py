"""What is asked for in leases, and what is answered, on the wire."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from google.protobuf.duration_pb2 import Duration

from accounts.domain.accounts import checked_id
from accounts.domain.errors import InvalidFieldError
from accounts.domain.leases import (
    CREDIT,
    Acquire,
    Borrower,
    Grant,
    LeaseResource,
    LimitName,
    LimitOwner,
    Refusal,
    Release,
    Renew,
)
from contracts.rate_limits import RateInterval
from turnpike.accounts.v1 import lease_service_pb2 as messages
from turnpike.accounts.v1 import records_pb2

_INTERVALS = {
    records_pb2.RATE_INTERVAL_MINUTE: RateInterval.MINUTE,
    records_pb2.RATE_INTERVAL_DAY: RateInterval.DAY,
}


def acquire_from_proto(request: messages.AcquireLeaseRequest) -> Acquire:
    """Read a request.

    Raises:
        InvalidFieldError: a field cannot be read.
    """
    try:
        resource = LeaseResource(request.resource)
    except ValueError:
        raise InvalidFieldError("resource", "must be money, requests or tokens") from None
    return Acquire(
        borrower=_borrower(request.borrower),
        lease_id=checked_id("lease_id", request.lease_id),
        org_id=checked_id("org_id", request.org_id),
        key_id=checked_id("key_id", request.key_id) if request.key_id else None,
        resource=resource,
        needed=request.needed,
        wanted=request.wanted,
        limit=_limit(request.limit) if request.HasField("limit") else None,
    )


def renew_from_proto(request: messages.RenewLeaseRequest) -> Renew:
    """Read a request.

    Raises:
        InvalidFieldError: a field cannot be read.
    """
    lease_id, org_id = _names(request)
    return Renew(
        borrower=_borrower(request.borrower),
        lease_id=lease_id,
        org_id=org_id,
        needed=request.needed,
        wanted=request.wanted,
        spent=request.spent,
        in_flight=request.in_flight,
        returned=request.returned,
    )


def release_from_proto(request: messages.ReleaseLeaseRequest) -> Release:
    """Read a request.

    Raises:
        InvalidFieldError: a field cannot be read.
    """
    lease_id, org_id = _names(request)
    return Release(_borrower(request.borrower), lease_id, org_id, request.spent, request.in_flight)


def acquired_to_proto(grant: Grant) -> messages.AcquireLeaseResponse:
    """Write an answer."""
    return messages.AcquireLeaseResponse(
        granted=grant.granted,
        time_to_live=_duration(grant.time_to_live),
        is_scarce=grant.is_scarce,
        refusal=_refusal(grant.refusal),
        edges=grant.edges,
        window_ends_in=_duration(grant.window_ends_in),
    )


def renewed_to_proto(grant: Grant) -> messages.RenewLeaseResponse:
    """Write an answer."""
    return messages.RenewLeaseResponse(
        granted=grant.granted,
        time_to_live=_duration(grant.time_to_live),
        is_scarce=grant.is_scarce,
        refusal=_refusal(grant.refusal),
        edges=grant.edges,
        window_ends_in=_duration(grant.window_ends_in),
    )


def _names(request: messages.RenewLeaseRequest | messages.ReleaseLeaseRequest) -> tuple[UUID, UUID]:
    return checked_id("lease_id", request.lease_id), checked_id("org_id", request.org_id)


def _borrower(borrower: messages.Borrower) -> Borrower:
    return Borrower(borrower.edge_id, borrower.edge_epoch)


def _limit(limit: messages.LeaseLimit) -> LimitName:
    try:
        owner = LimitOwner(limit.owner)
    except ValueError:
        raise InvalidFieldError("limit.owner", "must be an organisation, a workspace, a key or a member") from None
    guardrail_id = str(checked_id("limit.guardrail_id", limit.guardrail_id)) if limit.guardrail_id else ""
    return LimitName(owner, _INTERVALS.get(limit.interval, RateInterval.NONE), guardrail_id, limit.model)


def _duration(length: timedelta | None) -> Duration | None:
    if not length:
        return None
    message = Duration()
    message.FromTimedelta(length)
    return message


def _refusal(refusal: Refusal | None) -> messages.LeaseRefusal | None:
    if refusal is None:
        return None
    message = messages.LeaseRefusal(reason=messages.LeaseRefusalReason.ValueType(refusal.reason))
    account = refusal.account
    if account is not None:
        message.account = messages.LeaseAccountKind.ValueType(account.kind)
        message.account_id = account.subject
        message.guardrail_id = account.guardrail_id
        message.interval = records_pb2.SpendInterval.ValueType(account.interval)
        message.limit = 0 if account.name == CREDIT else account.limit or 0
        message.available = account.available or 0
        message.held = account.held
        if refusal.resets_in is not None:
            message.resets_in.FromTimedelta(refusal.resets_in)
    return message
