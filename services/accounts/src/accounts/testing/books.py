"""The statements that hold of the books at any time, checked over everything that is in the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import asyncpg

_MOVEMENTS = """
SELECT account, sum(nano)::bigint AS nano FROM (
    SELECT credit AS account, nano FROM ledger_entries UNION ALL SELECT debit, -nano FROM ledger_entries
) AS movements GROUP BY account
"""
_ORGS = """
SELECT org_id, balance_nano, credits_nano, usage_nano,
       (SELECT coalesce(sum(nano), 0)::bigint FROM grants WHERE grants.org_id = orgs.org_id)
       + (SELECT coalesce(sum(nano), 0)::bigint FROM usage_refunds AS r WHERE r.org_id = orgs.org_id) AS granted,
       (SELECT coalesce(sum(cost_nano), 0)::bigint FROM settled_events AS e WHERE e.org_id = orgs.org_id) AS settled
FROM orgs
"""
_PURCHASES = """
SELECT org_id, credit_nano, fee_nano, refunded_nano + disputed_nano AS returned FROM purchases WHERE status = 2
"""
_EVENTS = "SELECT event_id, org_id, key_id, cost_nano, ended_at FROM settled_events"
_OWED = """
SELECT provider, provider_cost_nano AS nano FROM settled_events WHERE NOT is_byok UNION ALL
SELECT copy.key, copy.value::bigint FROM settled_events, jsonb_each_text(hedges) AS copy
"""
_CHARGED = """
SELECT cause_id, sum(CASE WHEN credit = 'revenue:usage' THEN nano ELSE -nano END)::bigint AS nano
FROM ledger_entries WHERE 'revenue:usage' IN (debit, credit) GROUP BY cause_id
"""
# Open, and written off: what providers are owed beside settled usage.
_SUSPENDED = """
SELECT state, held.key AS provider, held.value::bigint AS nano FROM suspended_usage, jsonb_each_text(held) AS held
WHERE org_id IS NOT NULL AND state IN (1, 3)
"""
_KEYS = "SELECT key_id, spent_nano FROM api_keys"
_WORKSPACES = """
SELECT workspace_id, spent_nano, byok_spent_nano,
       (SELECT coalesce(sum(e.cost_nano), 0)::bigint FROM settled_events AS e LEFT JOIN api_keys USING (key_id)
        WHERE coalesce(api_keys.workspace_id, e.org_id) = workspaces.workspace_id) AS usage,
       (SELECT coalesce(sum(e.provider_cost_nano), 0)::bigint FROM settled_events AS e LEFT JOIN api_keys USING (key_id)
        WHERE e.is_byok AND coalesce(api_keys.workspace_id, e.org_id) = workspaces.workspace_id) AS byok,
       (SELECT coalesce(sum(nano), 0)::bigint FROM workspace_spend_daily AS d
        WHERE d.workspace_id = workspaces.workspace_id) AS by_day,
       (SELECT coalesce(sum(byok_nano), 0)::bigint FROM workspace_spend_daily AS d
        WHERE d.workspace_id = workspaces.workspace_id) AS byok_by_day
FROM workspaces
"""
_DAYS = "SELECT key_id, day, nano FROM key_spend_daily WHERE nano <> 0"


async def account_balances(sql: asyncpg.Connection) -> dict[str, int]:
    """Credits less debits of every account of the ledger, in nano-dollars."""
    return {row["account"]: row["nano"] for row in await sql.fetch(_MOVEMENTS) if row["nano"]}


async def check_books(sql: asyncpg.Connection) -> None:
    """Check B1, B2 and B3, and that the sums beside the ledger agree with it.

    All of one moment: what a process that was killed sent last may be committed after its end.

    Raises:
        AssertionError: one does not hold.
    """
    async with sql.transaction(isolation="repeatable_read", readonly=True):
        await _check_books(sql)


async def _check_books(sql: asyncpg.Connection) -> None:
    accounts = await account_balances(sql)
    events = await sql.fetch(_EVENTS)
    assert sum(accounts.values()) == 0, "B1: the accounts do not add up to nothing"
    purchases = await sql.fetch(_PURCHASES)
    bought = _sums(purchases, lambda row: row["org_id"], _credit_kept)
    for org in await sql.fetch(_ORGS):
        ledger = accounts.get(f"customer:{org['org_id']}", 0)
        credit = org["granted"] + bought.get(org["org_id"], 0)
        assert org["balance_nano"] == ledger == credit - org["settled"], (
            "B2: a balance is not purchases, grants and refunds less usage"
        )
        assert (org["credits_nano"], org["usage_nano"]) == (credit, org["settled"])
    suspended = await sql.fetch(_SUSPENDED)
    is_open = sum(row["nano"] for row in suspended if row["state"] == 1)
    cash = sum(row["credit_nano"] + row["fee_nano"] - row["returned"] for row in purchases)
    unasked = accounts.get("suspense", 0) + is_open
    assert unasked >= 0, "what is in suspense is not what is held of suspended usage"
    assert -accounts.get("cash", 0) - unasked == cash, "cash is not what was paid and kept"
    charged = {row["cause_id"]: row["nano"] for row in await sql.fetch(_CHARGED) if row["nano"]}
    assert charged == {row["event_id"]: row["cost_nano"] for row in events if row["cost_nano"]}, "B3: event by event"
    assert accounts.get("revenue:usage", 0) == sum(row["cost_nano"] for row in events), "B3: revenue is not usage"
    owed = await sql.fetch(_OWED)
    payable = _sums([*owed, *suspended], lambda row: f"provider_payable:{row['provider']}", "nano")
    assert {name: nano for name, nano in accounts.items() if name.startswith("provider_payable:")} == payable
    assert -accounts.get("provider_cost", 0) == sum(payable.values()) - is_open
    spent = _sums(events, lambda row: row["key_id"], "cost_nano")
    for key in await sql.fetch(_KEYS):
        assert key["spent_nano"] == spent.get(key["key_id"], 0), "the spend of a key is not its usage"
    by_day = _sums(events, lambda row: (row["key_id"], row["ended_at"].date()), "cost_nano")
    assert {(row["key_id"], row["day"]): row["nano"] for row in await sql.fetch(_DAYS)} == by_day
    for workspace in await sql.fetch(_WORKSPACES):
        assert workspace["spent_nano"] == workspace["by_day"] == workspace["usage"], (
            "a workspace's spend is not its usage"
        )
        assert workspace["byok_spent_nano"] == workspace["byok_by_day"] == workspace["byok"]


def _credit_kept(row: Mapping[str, Any]) -> int:
    """Credit of a purchase less what of it was returned, in proportion to what was paid."""
    gross = row["credit_nano"] + row["fee_nano"]
    return int(row["credit_nano"] - round(Fraction(row["credit_nano"] * row["returned"], gross)))


def _sums(rows: list[Mapping[str, Any]], key: Any, value: str | Callable[[Mapping[str, Any]], int]) -> dict[Any, int]:
    sums: dict[Any, int] = defaultdict(int)
    for row in rows:
        sums[key(row)] += row[value] if isinstance(value, str) else value(row)
    return {name: nano for name, nano in sums.items() if nano}
