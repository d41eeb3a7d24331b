"""The lender of credit and of rate limits over gRPC."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import grpc

from contracts.errors import ErrorReason
from contracts.rate_limits import LimitedQuantity, rate_limits_to_proto
from contracts.spend import SpendInterval
from edge.adapters.grpc_status import error_from_status
from edge.domain.errors import DependencyError, NotFoundError, RefusedError
from edge.domain.exhaustion import Refusal, RefusalReason, SpendingAccount
from edge.domain.wallet import Statement, WalletScope
from edge.domain.windows import LimitOwner, Window
from edge.lease_ports import Grant
from servicekit.logs import get_logger
from turnpike.accounts.v1 import lease_service_pb2, lease_service_pb2_grpc

_log = get_logger(__name__)
_NAME: Final = "accounts"
_REASONS: Final = {
    lease_service_pb2.LEASE_REFUSAL_REASON_EXHAUSTED: RefusalReason.EXHAUSTED,
    lease_service_pb2.LEASE_REFUSAL_REASON_ORG_FROZEN: RefusalReason.ORG_FROZEN,
    lease_service_pb2.LEASE_REFUSAL_REASON_KEY_UNUSABLE: RefusalReason.KEY_UNUSABLE,
}
_ACCOUNTS: Final = {
    lease_service_pb2.LEASE_ACCOUNT_KIND_KEY: SpendingAccount.KEY,
    lease_service_pb2.LEASE_ACCOUNT_KIND_WORKSPACE: SpendingAccount.WORKSPACE,
    lease_service_pb2.LEASE_ACCOUNT_KIND_GUARDRAIL_KEY: SpendingAccount.GUARDRAIL,
    lease_service_pb2.LEASE_ACCOUNT_KIND_GUARDRAIL_MEMBER: SpendingAccount.GUARDRAIL,
}
_RESOURCES: Final = {
    LimitedQuantity.REQUESTS: lease_service_pb2.LEASE_RESOURCE_REQUESTS,
    LimitedQuantity.TOKENS: lease_service_pb2.LEASE_RESOURCE_TOKENS,
    LimitedQuantity.SPEND: lease_service_pb2.LEASE_RESOURCE_MONEY,
}
_OWNERS: Final = {
    LimitOwner.ORG: lease_service_pb2.LIMIT_OWNER_ORG,
    LimitOwner.WORKSPACE: lease_service_pb2.LIMIT_OWNER_WORKSPACE,
    LimitOwner.KEY: lease_service_pb2.LIMIT_OWNER_KEY,
    LimitOwner.MEMBER: lease_service_pb2.LIMIT_OWNER_MEMBER,
}


class GrpcLeaseLender:
    """Borrows in the name of one process of an edge."""

    def __init__(self, channel: grpc.aio.Channel, timeout: timedelta, edge_id: str, epoch: int) -> None:
        """Make a client.

        Args:
            channel: to accounts.
            timeout: of a call.
            edge_id: names the edge.
            epoch: of this process; greater than that of every one before it.
        """
        self._stub = lease_service_pb2_grpc.LeaseServiceStub(channel)
        self._timeout_s = timeout.total_seconds()
        self._borrower = lease_service_pb2.Borrower(edge_id=edge_id, edge_epoch=epoch)

    async def acquire(self, scope: WalletScope, lease_id: str, needed: int, wanted: int) -> Grant | None:
        """Ask for a lease."""
        request = lease_service_pb2.AcquireLeaseRequest(
            borrower=self._borrower,
            lease_id=lease_id,
            org_id=scope.org_id,
            key_id=scope.key_id,
            resource=lease_service_pb2.LEASE_RESOURCE_MONEY,
            needed=needed,
            wanted=wanted,
        )
        if scope.window is not None:
            request.resource = _RESOURCES[scope.window.limit.quantity]
            request.limit.CopyFrom(_limit(scope.window))
        try:
            # Ready or not: right after a restart of the other side the connection is a moment behind.
            answer = await self._stub.AcquireLease(request, timeout=self._timeout_s, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            _check_is_nothing(error)
            return None
        return _grant(answer)

    async def renew(self, scope: WalletScope, statement: Statement, needed: int, wanted: int) -> Grant | None:
        """Extend a lease."""
        request = lease_service_pb2.RenewLeaseRequest(
            borrower=self._borrower,
            lease_id=statement.lease_id,
            org_id=scope.org_id,
            needed=needed,
            wanted=wanted,
            spent=statement.spent,
            in_flight=statement.in_flight,
            returned=statement.returned,
        )
        try:
            answer = await self._stub.RenewLease(request, timeout=self._timeout_s, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            _check_is_nothing(error)
            return None
        return _grant(answer)

    async def release(self, scope: WalletScope, statement: Statement) -> None:
        """End a lease."""
        request = lease_service_pb2.ReleaseLeaseRequest(
            borrower=self._borrower,
            lease_id=statement.lease_id,
            org_id=scope.org_id,
            spent=statement.spent,
            in_flight=statement.in_flight,
        )
        try:
            await self._stub.ReleaseLease(request, timeout=self._timeout_s)
        except grpc.aio.AioRpcError as error:
            _check_is_nothing(error)


def _check_is_nothing(error: grpc.aio.AioRpcError) -> None:
    """Take an answer that there is no such thing.

    Raises:
        DependencyError: it is another answer, or none.
    """
    translated = error_from_status(error, _NAME)
    if isinstance(translated, NotFoundError):
        return
    if isinstance(translated, RefusedError):
        if translated.reason is ErrorReason.NOT_FOUND:
            return
        # Nothing that a caller did: another process has taken this one's name, or the two sides do not understand each other.
        _log.error("lease.call_refused", reason=translated.reason.value, error=translated.message)
    raise DependencyError(_NAME) from None


def _grant(answer: lease_service_pb2.AcquireLeaseResponse | lease_service_pb2.RenewLeaseResponse) -> Grant:
    return Grant(
        granted=answer.granted,
        time_to_live=answer.time_to_live.seconds + answer.time_to_live.nanos / 1e9,
        is_scarce=answer.is_scarce,
        refusal=_refusal(answer.refusal) if answer.HasField("refusal") else None,
        edges=answer.edges,
        window_ends_in=_window_ends_in(answer),
    )


def _window_ends_in(
    answer: lease_service_pb2.AcquireLeaseResponse | lease_service_pb2.RenewLeaseResponse,
) -> float | None:
    if not answer.HasField("window_ends_in"):
        return None
    return answer.window_ends_in.seconds + answer.window_ends_in.nanos / 1e9


def _limit(window: Window) -> lease_service_pb2.LeaseLimit:
    (limit,) = rate_limits_to_proto([window.limit])
    return lease_service_pb2.LeaseLimit(
        owner=_OWNERS[window.owner], guardrail_id=window.guardrail_id, interval=limit.interval, model=limit.model
    )


def _refusal(message: lease_service_pb2.LeaseRefusal) -> Refusal:
    return Refusal(
        reason=_REASONS.get(message.reason, RefusalReason.EXHAUSTED),
        account=_ACCOUNTS.get(message.account, SpendingAccount.CREDIT),
        available=message.available,
        held=message.held,
        limit=message.limit,
        interval=SpendInterval(message.interval),
        guardrail_id=message.guardrail_id,
    )
