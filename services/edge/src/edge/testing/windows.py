"""The lender of rate limits, in memory: windows of limits, and who holds what of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from contracts.rate_limits import LimitedQuantity, RateLimit, rate_limits_from_proto
from edge.domain.exhaustion import Refusal, RefusalReason
from edge.domain.rate_limits import WINDOW_MS
from edge.domain.wallet import Statement, WalletScope
from edge.domain.windows import LimitOwner, Window
from edge.lease_ports import Grant
from edge.testing.accounts import MemoryAccounts
from edge.testing.guardrails import MemoryGuardrails
from servicekit.clock import Clock, SystemClock

_SMALL: Final = 100

_WindowName = tuple[LimitOwner, str, str, LimitedQuantity, str, str, int]


@dataclass
class WindowLease:
    """What is lent of a window."""

    window: _WindowName
    ends_at: float
    edge: str
    granted: int
    returned: int = 0
    spent: int = 0

    @property
    def taken(self) -> int:
        """What nobody else can have of it."""
        return self.granted - self.returned


class MemoryWindows:
    """Lends windows of the rate limits that organisations, keys and guardrails in memory have.

    Attributes:
        leases: by id, also those that are over.
        clock: by which windows begin and end.
    """

    def __init__(self, accounts: MemoryAccounts, guardrails: MemoryGuardrails | None = None) -> None:
        self.leases: dict[str, WindowLease] = {}
        self.clock: Clock = SystemClock()
        self._accounts = accounts
        self._guardrails = guardrails
        # What leases that were released had spent, by window.
        self._gone: dict[_WindowName, int] = {}

    def acquire(
        self, scope: WalletScope, window: Window, lease_id: str, needed: int, wanted: int, edge: str
    ) -> Grant | None:
        """Lend, as `LeaseLender.acquire` does."""
        limit = self._limit(scope, window)
        if limit is None:
            return None
        now = self.clock.now().timestamp()
        length = WINDOW_MS[limit.interval] / 1_000
        number = int(now // length)
        subject = self._subject(scope, window)
        name = (window.owner, subject, window.guardrail_id, limit.quantity, limit.interval.value, limit.model, number)
        lease = self.leases.get(lease_id)
        if lease is None:
            lease = WindowLease(name, (number + 1) * length, edge, 0)
        elif lease.ends_at <= now:
            return None
        else:
            return self._grant(lease, limit, needed, None)
        refusal = self._lend(lease, limit, needed, wanted)
        if refusal is None:
            self.leases[lease_id] = lease
        return self._grant(lease, limit, needed, refusal)

    def renew(self, scope: WalletScope, statement: Statement, needed: int, wanted: int) -> Grant | None:
        """Add to a lease, as `LeaseLender.renew` does."""
        lease = self.leases.get(statement.lease_id)
        if lease is None or scope.window is None or lease.ends_at <= self.clock.now().timestamp():
            return None
        limit = self._limit(scope, scope.window)
        if limit is None:
            return None
        lease.spent = max(lease.spent, min(statement.spent, lease.granted - lease.returned))
        most = max(lease.granted - statement.spent - statement.in_flight, 0)
        lease.returned = max(lease.returned, min(statement.returned, most))
        return self._grant(lease, limit, needed, self._lend(lease, limit, needed, wanted) if needed else None)

    def release(self, statement: Statement) -> None:
        """End a lease: what was not spent is there for others."""
        lease = self.leases.pop(statement.lease_id, None)
        if lease is not None:
            kept = min(statement.spent + statement.in_flight, lease.taken)
            self._gone[lease.window] = self._gone.get(lease.window, 0) + kept

    def taken(self, window: _WindowName) -> int:
        """What is spent and lent of a window."""
        lent = sum(lease.taken for lease in self.leases.values() if lease.window == window)
        return self._gone.get(window, 0) + lent

    def _lend(self, lease: WindowLease, limit: RateLimit, needed: int, wanted: int) -> Refusal | None:
        available = limit.amount - self.taken(lease.window)
        if available < needed:
            lent = [each for each in self.leases.values() if each.window == lease.window]
            held = sum(each.taken - each.spent for each in lent)
            return Refusal(RefusalReason.EXHAUSTED, available=available, held=held, limit=limit.amount)
        edges = self._edges(lease)
        scarce = available < max(_SMALL, 2 * edges) * needed
        lease.granted += needed if scarce else max(needed, min(wanted, available // (2 * edges)))
        return None

    def _edges(self, lease: WindowLease) -> int:
        return len({each.edge for each in self.leases.values() if each.window == lease.window} | {lease.edge})

    def _grant(self, lease: WindowLease, limit: RateLimit, needed: int, refusal: Refusal | None) -> Grant:
        left = lease.ends_at - self.clock.now().timestamp()
        return Grant(
            lease.granted,
            min(left, 960.0) if lease.granted else 0.0,
            is_scarce=limit.amount - self.taken(lease.window) < _SMALL * needed,
            refusal=refusal,
            edges=self._edges(lease),
            window_ends_in=left,
        )

    def _limit(self, scope: WalletScope, window: Window) -> RateLimit | None:
        kind = (window.limit.quantity, window.limit.interval, window.limit.model)
        for limit in self._limits(scope, window):
            if (limit.quantity, limit.interval, limit.model) == kind:
                return limit
        return None

    def _limits(self, scope: WalletScope, window: Window) -> Iterable[RateLimit]:
        org, key = self._accounts.orgs.get(scope.org_id), self._accounts.key_of(scope.org_id, scope.key_id)
        if org is None:
            return ()
        if window.guardrail_id:
            guardrail = self._guardrails.guardrails.get(window.guardrail_id) if self._guardrails is not None else None
            return rate_limits_from_proto(guardrail.policy.rate_limits) if guardrail is not None else ()
        if window.owner is LimitOwner.KEY:
            return rate_limits_from_proto(key.rate_limits) if key is not None else ()
        workspace_id = ""
        if window.owner is LimitOwner.WORKSPACE:
            if key is None:
                return ()
            workspace_id = key.workspace_id or scope.org_id
        return rate_limits_from_proto([each.limit for each in org.rate_limits if each.workspace_id == workspace_id])

    def _subject(self, scope: WalletScope, window: Window) -> str:
        key = self._accounts.key_of(scope.org_id, scope.key_id)
        match window.owner:
            case LimitOwner.KEY:
                return scope.key_id
            case LimitOwner.WORKSPACE if key is not None:
                return key.workspace_id or scope.org_id
            case LimitOwner.MEMBER if key is not None:
                return key.creator_user_id
            case _:
                return scope.org_id
