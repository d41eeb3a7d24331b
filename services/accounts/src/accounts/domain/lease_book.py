"""What asks for leases do to the accounts of one organisation. Pure: a store loads what they need and writes what has changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from accounts.domain.errors import AccountsError, FencedError, NotFoundError
from accounts.domain.leases import (
    SMALL_WINDOW,
    Account,
    Acquire,
    Ask,
    Borrower,
    Grant,
    Lease,
    LeaseTerms,
    Refusal,
    RefusalReason,
    Release,
    Renew,
    grant_size,
    is_scarce,
)

_NOTHING = timedelta(0)

Outcome = Grant | AccountsError
"""What was done, or why it could not be."""


class Bounds(Protocol):
    """Which accounts bound what is asked for."""

    def of(self, ask: Acquire) -> Sequence[Account]:
        """The accounts of a new lease. Raises NotFoundError for the key or the limit."""
        ...

    def of_lease(self, lease: Lease) -> Sequence[Account]:
        """The accounts that a lease would have if it were new; none for one of a window."""
        ...

    def refusal(self, key_id: UUID | None) -> RefusalReason | None:
        """Why nothing at all is lent, to the organisation or for a key."""
        ...


class LeaseBook:
    """Leases and accounts of one organisation, within one transaction that has locked them."""

    def __init__(
        self,
        bounds: Bounds,
        leases: Iterable[Lease],
        accounts: Mapping[str, Account],
        fences: Mapping[str, int],
        *,
        edges: int,
        terms: LeaseTerms,
        now: datetime,
    ) -> None:
        """Open the book.

        Args:
            bounds: which accounts bound what is asked for; of the names that `accounts` has.
            leases: those that are named in what is asked for, as far as there are any.
            accounts: by name, with what is held on them.
            fences: highest epoch that was seen, by edge.
            edges: that borrow from the organisation.
            terms: of leases.
            now: the moment.
        """
        self._bounds = bounds
        self.leases = {lease.lease_id: lease for lease in leases}
        self.accounts = dict(accounts)
        self.fences = dict(fences)
        self._edges = edges
        self._terms = terms
        self._now = now
        self.changed: set[UUID] = set()
        self.changed_accounts: set[str] = set()
        self.new_fences: dict[str, int] = {}

    def answer(self, ask: Ask) -> Outcome:
        """Do what is asked for; an error is returned, and has changed nothing."""
        try:
            self._check_fence(ask.borrower)
            match ask:
                case Acquire():
                    return self._acquire(ask)
                case Renew():
                    return self._renew(ask)
                case Release():
                    return self._release(ask)
        except AccountsError as error:
            return error

    def close(self, lease: Lease) -> int:
        """Close a lease whose time is over, and return what was still held for it."""
        stranded = lease.held
        if lease.is_windowed:
            # Nobody said what became of it.
            self._spend(lease, lease.spent + stranded)
        else:
            self._hold(lease, -stranded)
        lease.closed_at = self._now
        self.changed.add(lease.lease_id)
        return stranded

    def _check_fence(self, borrower: Borrower) -> None:
        highest = self.fences.get(borrower.edge_id, 0)
        if borrower.epoch < highest:
            raise FencedError
        if borrower.epoch > highest:
            self.fences[borrower.edge_id] = self.new_fences[borrower.edge_id] = borrower.epoch

    def _acquire(self, ask: Acquire) -> Grant:
        known = self.leases.get(ask.lease_id)
        if known is not None:
            return self._repeated(self._open(ask.lease_id, ask.borrower), ask)
        is_windowed = ask.limit is not None
        accounts = [self.accounts[account.name] for account in self._bounds.of(ask)]
        # What a window bounds may be a key's; whether the key may be used is nothing that its other owners hear of.
        reason = self._bounds.refusal(None if is_windowed else ask.key_id)
        if reason is not None:
            return self._answered(accounts, Grant(0, refusal=Refusal(reason)))
        small = self._small(ask.needed, is_windowed=is_windowed)
        size, scarce, refusal = self._size(accounts, ask.needed, ask.wanted, small)
        if refusal is not None:
            return self._answered(accounts, Grant(0, _NOTHING, scarce, refusal))
        expires_at, closes_at = self._times(accounts)
        lease = Lease(
            lease_id=ask.lease_id,
            key_id=ask.key_id,
            borrower=ask.borrower,
            resource=ask.resource,
            accounts=tuple(account.name for account in accounts),
            granted=size,
            expires_at=expires_at,
            closes_at=closes_at,
            is_windowed=is_windowed,
        )
        self.leases[lease.lease_id] = lease
        self._hold(lease, size)
        return self._answered(accounts, Grant(size, lease.expires_at - self._now, scarce))

    def _repeated(self, lease: Lease, ask: Acquire) -> Grant:
        """The answer that a lease was made with, of which the edge has not heard."""
        accounts = [self.accounts[name] for name in lease.accounts]
        left = [account.available for account in accounts if account.available is not None]
        small = self._small(ask.needed, is_windowed=lease.is_windowed)
        # As it was before the lease was made.
        scarce = bool(left) and is_scarce(ask.needed, min(left) + lease.held, self._edges, small)
        return self._answered(accounts, Grant(lease.granted, max(lease.expires_at - self._now, _NOTHING), scarce))

    def _renew(self, ask: Renew) -> Grant:
        lease = self._open(ask.lease_id, ask.borrower)
        if lease.is_windowed:
            self._spend(lease, max(lease.spent, min(ask.spent, lease.granted - lease.returned)))
        self._give_back(lease, max(lease.granted - ask.spent - ask.in_flight, 0), ask.returned)
        reason = self._bounds.refusal(None if lease.is_windowed else lease.key_id)
        if reason is not None:
            return self._answered((), Grant(lease.granted, refusal=Refusal(reason)))
        accounts = self._bound_anew(lease)
        scarce, refusal = False, None
        if ask.needed:
            small = self._small(ask.needed, is_windowed=lease.is_windowed)
            size, scarce, refusal = self._size(accounts, ask.needed, ask.wanted, small)
            if size:
                # What went beyond the lease was paid out of the balance; what is added is there to be spent, all of it.
                lease.spent = min(lease.spent, lease.granted - lease.returned)
                lease.granted += size
                self._hold(lease, size)
        lease.expires_at, lease.closes_at = self._times(accounts)
        self.changed.add(lease.lease_id)
        time_to_live = max(lease.expires_at - self._now, _NOTHING)
        return self._answered(accounts, Grant(lease.granted, time_to_live, scarce, refusal))

    def _answered(self, accounts: Sequence[Account], grant: Grant) -> Grant:
        """A grant with what is said of the organisation and of the window."""
        ends = [account.ends_at for account in accounts if account.ends_at is not None]
        return replace(grant, edges=self._edges, window_ends_in=min(ends) - self._now if ends else None)

    def _small(self, needed: int, *, is_windowed: bool) -> int:
        return SMALL_WINDOW * needed if is_windowed else self._terms.small_credit

    def _release(self, ask: Release) -> Grant:
        lease = self._own(ask.lease_id, ask.borrower)
        if lease.closed_at is not None:
            return Grant(lease.granted)
        before = lease.returned
        self._give_back(lease, max(lease.granted - ask.spent - ask.in_flight, 0), lease.granted)
        if lease.released_at is None:
            lease.released_at = self._now
            lease.closes_at = self._now + (_NOTHING if lease.is_windowed else self._terms.grace)
        if lease.is_windowed:
            self._spend(lease, lease.granted - lease.returned)
        if lease.held == 0:
            lease.closed_at = self._now
        self.changed.add(lease.lease_id)
        return Grant(lease.granted, returned=lease.returned - before)

    def _own(self, lease_id: UUID, borrower: Borrower) -> Lease:
        lease = self.leases.get(lease_id)
        if lease is None or lease.borrower != borrower:
            raise NotFoundError("no such lease")
        return lease

    def _open(self, lease_id: UUID, borrower: Borrower) -> Lease:
        lease = self._own(lease_id, borrower)
        ended = lease.closed_at is not None or lease.released_at is not None
        if ended or (lease.is_windowed and lease.closes_at <= self._now):
            raise NotFoundError("the lease has ended")
        return lease

    def _bound_anew(self, lease: Lease) -> Sequence[Account]:
        """The accounts that bound a lease now: those that were not there when it was made hold for it from now on."""
        if lease.is_windowed:
            return [self.accounts[name] for name in lease.accounts]
        accounts = [self.accounts[account.name] for account in self._bounds.of_lease(lease)]
        for account in accounts:
            if account.name not in lease.accounts:
                lease.accounts = (*lease.accounts, account.name)
                account.held += lease.held
                self.changed_accounts.add(account.name)
        return accounts

    def _size(
        self, accounts: Sequence[Account], needed: int, wanted: int, small: int
    ) -> tuple[int, bool, Refusal | None]:
        bounded = [(account.available, account) for account in accounts if account.available is not None]
        if not bounded:
            return wanted, False, None
        available, tightest = min(bounded, key=lambda each: each[0])
        size = grant_size(needed, wanted, available, self._edges, small)
        refusal = None if size else self._exhausted(tightest)
        return size, is_scarce(needed, available, self._edges, small), refusal

    def _exhausted(self, account: Account) -> Refusal:
        resets_in = None if account.resets_at is None else account.resets_at - self._now
        return Refusal(RefusalReason.EXHAUSTED, replace(account), resets_in)

    def _times(self, accounts: Sequence[Account]) -> tuple[datetime, datetime]:
        """When a lease expires and closes that holds on accounts from now on."""
        ends = [account.ends_at for account in accounts if account.ends_at is not None]
        if ends:
            end = min(self._now + self._terms.ttl, *ends)
            return end, end
        expires_at = self._now + self._terms.ttl
        return expires_at, expires_at + self._terms.grace

    def _give_back(self, lease: Lease, most: int, returned: int) -> None:
        """Take back up to a total; never less than before, because the edge has not had that since."""
        before = lease.held
        lease.returned = max(lease.returned, min(returned, most))
        self._hold(lease, lease.held - before)

    def _spend(self, lease: Lease, spent: int) -> None:
        """Count what an edge says that it spent of a window."""
        for name in lease.accounts:
            self.accounts[name].spent += spent - lease.spent
        before = lease.held
        lease.spent = spent
        self._hold(lease, lease.held - before)

    def _hold(self, lease: Lease, change: int) -> None:
        for name in lease.accounts:
            self.accounts[name].held += change
        self.changed_accounts.update(lease.accounts)
        self.changed.add(lease.lease_id)
