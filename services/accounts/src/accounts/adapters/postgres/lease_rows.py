"""Rows of leases to values, and back to columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from accounts.domain.leases import Account, Borrower, Lease, LeaseResource


def lease_from_row(row: Any) -> Lease:
    """Read a row of LEASE_COLUMNS."""
    return Lease(
        lease_id=row.lease_id,
        key_id=row.key_id,
        borrower=Borrower(row.edge_id, row.edge_epoch),
        resource=LeaseResource(row.resource),
        accounts=tuple(row.accounts),
        granted=row.granted,
        expires_at=row.expires_at,
        closes_at=row.closes_at,
        is_windowed=row.windowed,
        returned=row.returned,
        spent=row.spent,
        released_at=row.released_at,
        closed_at=row.closed_at,
    )


def lease_columns(owned: Sequence[tuple[UUID, Lease]], now: datetime) -> dict[str, Any]:
    """The values of WRITE_LEASES, of leases with their organisations."""
    leases = [lease for _, lease in owned]
    return {
        "org_ids": [org_id for org_id, _ in owned],
        "lease_ids": [lease.lease_id for lease in leases],
        "key_ids": [lease.key_id for lease in leases],
        "edge_ids": [lease.borrower.edge_id for lease in leases],
        "edge_epochs": [lease.borrower.epoch for lease in leases],
        "resources": [int(lease.resource) for lease in leases],
        "windowed": [lease.is_windowed for lease in leases],
        "accounts": [json.dumps(lease.accounts) for lease in leases],
        "granted": [lease.granted for lease in leases],
        "returned": [lease.returned for lease in leases],
        "spent": [lease.spent for lease in leases],
        "expires_at": [lease.expires_at for lease in leases],
        "closes_at": [lease.closes_at for lease in leases],
        "released_at": [lease.released_at for lease in leases],
        "closed_at": [lease.closed_at for lease in leases],
        "now": now,
    }


def account_columns(owned: Sequence[tuple[UUID, Account]]) -> dict[str, Any]:
    """The values of WRITE_ACCOUNTS, of accounts with their organisations. What is spent of money is written where it is settled."""
    accounts = [account for _, account in owned]
    return {
        "org_ids": [org_id for org_id, _ in owned],
        "names": [account.name for account in accounts],
        "held": [account.held for account in accounts],
        "spent": [0 if account.ends_at is None else account.spent for account in accounts],
        "amounts": [None if account.ends_at is None else account.limit for account in accounts],
        "ends_at": [account.ends_at for account in accounts],
    }
