"""The lender of credit and of rate limits, in memory, alone and behind a gRPC server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import grpc

from contracts.rate_limits import rate_limits_from_proto
from contracts.spend import SpendInterval
from edge.domain.errors import DependencyError, NotFoundError
from edge.domain.exhaustion import Refusal, RefusalReason, SpendingAccount
from edge.domain.wallet import Statement, WalletScope
from edge.domain.windows import LimitOwner, Window
from edge.lease_ports import Grant
from edge.testing.accounts import MemoryAccounts
from edge.testing.guardrails import MemoryGuardrails
from edge.testing.refusals import aborting
from edge.testing.windows import MemoryWindows
from turnpike.accounts.v1 import lease_service_pb2, lease_service_pb2_grpc, records_pb2

_Answer = TypeVar("_Answer", lease_service_pb2.AcquireLeaseResponse, lease_service_pb2.RenewLeaseResponse)
Context = grpc.aio.ServicerContext[Any, Any]
_PERIODS: Final = {
    SpendInterval.DAILY: "daily_nano_usd",
    SpendInterval.WEEKLY: "weekly_nano_usd",
    SpendInterval.MONTHLY: "monthly_nano_usd",
}
_SMALL_CREDIT = 5 * 10**9
_EXHAUSTED = lease_service_pb2.LEASE_REFUSAL_REASON_EXHAUSTED
_REASONS = {
    RefusalReason.EXHAUSTED: _EXHAUSTED,
    RefusalReason.ORG_FROZEN: lease_service_pb2.LEASE_REFUSAL_REASON_ORG_FROZEN,
    RefusalReason.KEY_UNUSABLE: lease_service_pb2.LEASE_REFUSAL_REASON_KEY_UNUSABLE,
}
_KINDS = {
    SpendingAccount.CREDIT: lease_service_pb2.LEASE_ACCOUNT_KIND_ORG,
    SpendingAccount.KEY: lease_service_pb2.LEASE_ACCOUNT_KIND_KEY,
    SpendingAccount.WORKSPACE: lease_service_pb2.LEASE_ACCOUNT_KIND_WORKSPACE,
    SpendingAccount.GUARDRAIL: lease_service_pb2.LEASE_ACCOUNT_KIND_GUARDRAIL_KEY,
}
_QUANTITIES: Final = {
    lease_service_pb2.LEASE_RESOURCE_MONEY: records_pb2.LIMITED_QUANTITY_SPEND,
    lease_service_pb2.LEASE_RESOURCE_REQUESTS: records_pb2.LIMITED_QUANTITY_REQUESTS,
    lease_service_pb2.LEASE_RESOURCE_TOKENS: records_pb2.LIMITED_QUANTITY_TOKENS,
}
_OWNERS: Final = {
    lease_service_pb2.LIMIT_OWNER_ORG: LimitOwner.ORG,
    lease_service_pb2.LIMIT_OWNER_WORKSPACE: LimitOwner.WORKSPACE,
    lease_service_pb2.LIMIT_OWNER_KEY: LimitOwner.KEY,
    lease_service_pb2.LIMIT_OWNER_MEMBER: LimitOwner.MEMBER,
}


@dataclass
class MemoryLease:
    """A lease that is lent."""

    scope: WalletScope
    granted: int
    returned: int = 0
    spent: int = 0

    @property
    def held(self) -> int:
        """What is neither spent nor given back."""
        return self.granted - self.returned - self.spent


class MemoryLeases:
    """Lends the credit of the organisations in memory. What an edge says it spent is settled at once.

    Attributes:
        leases: open ones, by id.
        calls: what was asked, in order.
        down: whether every call fails.
        gate: awaited by each call before its answer.
        time_to_live: seconds of a lease.
        windows: of rate limits, which are lent here too.
        asked_windows: what was asked about them, in order.
    """

    def __init__(self, accounts: MemoryAccounts, guardrails: MemoryGuardrails | None = None) -> None:
        self.accounts = accounts
        self.windows = MemoryWindows(accounts, guardrails)
        self.asked_windows: list[str] = []
        self.leases: dict[str, MemoryLease] = {}
        self.calls: list[str] = []
        self.down = False
        self.gate: Callable[[], Awaitable[object]] | None = None
        self.time_to_live = 960.0

    async def acquire(
        self, scope: WalletScope, lease_id: str, needed: int, wanted: int, edge: str = ""
    ) -> Grant | None:
        """Ask for a lease; `edge` tells several of them apart."""
        if scope.window is not None:
            await self._called("acquire", self.asked_windows)
            return self.windows.acquire(scope, scope.window, lease_id, needed, wanted, edge)
        await self._called("acquire")
        if scope.org_id not in self.accounts.orgs or (scope.key_id and self._key(scope) is None):
            return None
        lease = self.leases.get(lease_id)
        if lease is not None:
            return self._grant(lease)
        lease = MemoryLease(scope, 0)
        refusal = self._unusable(scope) or self._lend(lease, needed, wanted)
        if refusal is not None:
            return Grant(0, 0, is_scarce=True, refusal=refusal)
        self.leases[lease_id] = lease
        return self._grant(lease)

    async def renew(self, scope: WalletScope, statement: Statement, needed: int, wanted: int) -> Grant | None:
        """Extend a lease."""
        if scope.window is not None:
            await self._called("renew", self.asked_windows)
            return self.windows.renew(scope, statement, needed, wanted)
        await self._called("renew")
        lease = self.leases.get(statement.lease_id)
        if lease is None:
            return None
        self._state(lease, statement.spent)
        lease.returned = max(lease.returned, statement.returned)
        unusable = self._unusable(scope)
        if unusable is not None:
            return Grant(lease.granted, 0, is_scarce=True, refusal=unusable)
        if not needed:
            return Grant(lease.granted, self.time_to_live)
        return self._grant(lease, self._lend(lease, needed, wanted))

    async def release(self, scope: WalletScope, statement: Statement) -> None:
        """End a lease."""
        if scope.window is not None or statement.lease_id in self.windows.leases:
            await self._called("release", self.asked_windows)
            self.windows.release(statement)
            return
        await self._called("release")
        lease = self.leases.pop(statement.lease_id, None)
        if lease is not None:
            self._state(lease, statement.spent)

    def held(self, org_id: str) -> int:
        """What is lent of an organisation's credit."""
        return sum(lease.held for lease in self.leases.values() if lease.scope.org_id == org_id)

    async def _called(self, name: str, calls: list[str] | None = None) -> None:
        (self.calls if calls is None else calls).append(name)
        if self.gate is not None:
            await self.gate()
        if self.down:
            raise DependencyError("accounts")

    def _state(self, lease: MemoryLease, spent: int) -> None:
        new = max(spent - lease.spent, 0)
        lease.spent += new
        self.accounts.orgs[lease.scope.org_id].balance_nano_usd -= new
        key = self._key(lease.scope)
        if key is not None:
            key.spent_nano_usd += new
            for name in _PERIODS.values():
                setattr(key.spend, name, getattr(key.spend, name) + new)

    def _lend(self, lease: MemoryLease, needed: int, wanted: int) -> Refusal | None:
        left = list(self._left(lease.scope))
        least = min(left, key=lambda refusal: refusal.available)
        if least.available < needed:
            return least
        scarce = least.available < max(2 * needed, _SMALL_CREDIT)
        lease.granted += needed if scarce else max(needed, min(wanted, least.available // 2))
        return None

    def _left(self, scope: WalletScope) -> Iterator[Refusal]:
        """How the accounts of a scope stand."""
        org, key, exhausted = self.accounts.orgs[scope.org_id], self._key(scope), RefusalReason.EXHAUSTED
        held = self.held(scope.org_id)
        yield Refusal(exhausted, available=org.balance_nano_usd - held, held=held)
        if key is None:
            return
        lent = sum(lease.held for lease in self.leases.values() if lease.scope == scope)
        if key.HasField("limit_nano_usd"):
            left, limit = key.limit_nano_usd - _spent(key) - lent, key.limit_nano_usd
            interval = SpendInterval(key.limit_reset)
            yield Refusal(exhausted, SpendingAccount.KEY, left, lent, limit, interval)
        for budget in org.workspace_budgets:
            if budget.workspace_id == (key.workspace_id or scope.org_id):
                left, limit = budget.limit_nano_usd - budget.spent_nano_usd - lent, budget.limit_nano_usd
                yield Refusal(exhausted, SpendingAccount.WORKSPACE, left, lent, limit, SpendInterval(budget.interval))

    def _unusable(self, scope: WalletScope) -> Refusal | None:
        if self.accounts.orgs[scope.org_id].status != records_pb2.ORG_STATUS_ACTIVE:
            return Refusal(RefusalReason.ORG_FROZEN)
        key = self._key(scope)
        return Refusal(RefusalReason.KEY_UNUSABLE) if key is not None and key.disabled else None

    def _key(self, scope: WalletScope) -> records_pb2.KeyRecord | None:
        return self.accounts.key_of(scope.org_id, scope.key_id)

    def _grant(self, lease: MemoryLease, refusal: Refusal | None = None) -> Grant:
        least = min(left.available for left in self._left(lease.scope))
        is_scarce = least < _SMALL_CREDIT
        return Grant(lease.granted, self.time_to_live, is_scarce=is_scarce, refusal=refusal)


class LeaseServicer(lease_service_pb2_grpc.LeaseServiceServicer):
    """Serves them. A process with a lower epoch than another of its edge is refused."""

    def __init__(self, leases: MemoryLeases) -> None:
        self._leases = leases
        # Of leases of windows, which a renewal does not tell.
        self._scopes: dict[str, WalletScope] = {}

    async def AcquireLease(  # noqa: N802 - named by the wire
        self, request: lease_service_pb2.AcquireLeaseRequest, context: Context
    ) -> lease_service_pb2.AcquireLeaseResponse:
        """Lend."""
        scope = WalletScope(request.org_id, request.key_id, _window(request))
        if scope.window is not None:
            self._scopes[request.lease_id] = scope
        edge = request.borrower.edge_id
        async with aborting(context):
            grant = await self._leases.acquire(scope, request.lease_id, request.needed, request.wanted, edge)
            return _told(lease_service_pb2.AcquireLeaseResponse(), grant)

    async def RenewLease(  # noqa: N802 - named by the wire
        self, request: lease_service_pb2.RenewLeaseRequest, context: Context
    ) -> lease_service_pb2.RenewLeaseResponse:
        """Extend."""
        statement = Statement(request.lease_id, request.spent, request.in_flight, request.returned)
        lease = self._leases.leases.get(request.lease_id)
        scope = lease.scope if lease is not None else self._scopes.get(request.lease_id, WalletScope(request.org_id))
        async with aborting(context):
            grant = await self._leases.renew(scope, statement, request.needed, request.wanted)
            return _told(lease_service_pb2.RenewLeaseResponse(), grant)

    async def ReleaseLease(  # noqa: N802 - named by the wire
        self, request: lease_service_pb2.ReleaseLeaseRequest, context: Context
    ) -> lease_service_pb2.ReleaseLeaseResponse:
        """End."""
        statement = Statement(request.lease_id, request.spent, request.in_flight, 0)
        async with aborting(context):
            await self._leases.release(WalletScope(request.org_id), statement)
            return lease_service_pb2.ReleaseLeaseResponse()


def _window(request: lease_service_pb2.AcquireLeaseRequest) -> Window | None:
    if not request.HasField("limit"):
        return None
    named = request.limit
    (limit,) = rate_limits_from_proto(
        [
            records_pb2.RateLimit(
                quantity=_QUANTITIES[request.resource], interval=named.interval, amount=1, model=named.model
            )
        ]
    )
    return Window(_OWNERS[named.owner], named.guardrail_id, limit)


def _spent(key: records_pb2.KeyRecord) -> int:
    """What counts against the limit of a key. The double knows no clock: its records are of today."""
    period = _PERIODS.get(SpendInterval(key.limit_reset))
    return key.spent_nano_usd if period is None else int(getattr(key.spend, period))


def _told(answer: _Answer, grant: Grant | None) -> _Answer:
    if grant is None:
        raise NotFoundError("no such lease")
    answer.granted, answer.is_scarce, answer.edges = grant.granted, grant.is_scarce, grant.edges
    if grant.window_ends_in is not None:
        answer.window_ends_in.FromMilliseconds(int(grant.window_ends_in * 1_000))
    answer.time_to_live.FromMilliseconds(int(grant.time_to_live * 1_000))
    if grant.refusal is not None:
        refusal = grant.refusal
        answer.refusal.reason = _REASONS[refusal.reason]
        answer.refusal.account = _KINDS[refusal.account]
        answer.refusal.available, answer.refusal.held, answer.refusal.limit = (
            refusal.available,
            refusal.held,
            refusal.limit,
        )
        answer.refusal.interval = records_pb2.SpendInterval.ValueType(refusal.interval)
        answer.refusal.guardrail_id = refusal.guardrail_id
    return answer


def register_leases(server: grpc.aio.Server, leases: MemoryLeases) -> None:
    """Serve leases."""
    lease_service_pb2_grpc.add_LeaseServiceServicer_to_server(LeaseServicer(leases), server)
