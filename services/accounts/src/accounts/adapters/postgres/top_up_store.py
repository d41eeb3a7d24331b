"""Rules of buying without asking, and notices, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from accounts.adapters.postgres.audit_log import PostgresAuditLog
from accounts.adapters.postgres.database import Database
from accounts.domain.audit import AuditEvent, differences
from accounts.domain.errors import NotFoundError
from accounts.domain.payments import PurchaseStatus
from accounts.domain.people import Actor
from accounts.domain.top_ups import LOW_BALANCE, Due, Notice, TopUp

_RULES = "enabled, threshold_nano, amount_nano, monthly_limit_nano, notice_nano, payer_ref, method_ref"
# After an automatic purchase, whatever became of it: what was paid needs a moment to arrive, what was declined a pause.
PAUSE = timedelta(hours=1)

INSERT_NOTICE = text(
    """
    INSERT INTO notices (notice_id, org_id, kind, amount_nano, created_at)
    VALUES (:notice_id, :org_id, :kind, :amount, :now) ON CONFLICT (notice_id) DO NOTHING
    """
)
# The interpolated parts below are constants of this module; every value is a parameter.
_GET = text(
    f"SELECT orgs.org_id, {_RULES} FROM orgs LEFT JOIN top_ups USING (org_id) WHERE orgs.org_id = :org_id"  # noqa: S608 - constant columns
)
_SET = text(
    f"""
    INSERT INTO top_ups (org_id, enabled, threshold_nano, amount_nano, monthly_limit_nano, notice_nano)
    VALUES (:org_id, :enabled, :threshold, :amount, :monthly_limit, :notice)
    ON CONFLICT (org_id) DO UPDATE SET enabled = excluded.enabled, threshold_nano = excluded.threshold_nano,
        amount_nano = excluded.amount_nano, monthly_limit_nano = excluded.monthly_limit_nano,
        notice_nano = excluded.notice_nano, is_told = false
    RETURNING org_id, {_RULES}
    """  # noqa: S608 - constant columns
)
_CALM = text(
    "UPDATE top_ups SET is_told = false FROM orgs WHERE orgs.org_id = top_ups.org_id AND is_told AND balance_nano >= notice_nano"
)
_DUE = text(
    f"""
    SELECT org_id, balance_nano, {_RULES}, coalesce(bought.nano, 0)::bigint AS bought, coalesce(bought.orders, 0)::bigint AS orders
    FROM orgs JOIN top_ups USING (org_id) LEFT JOIN LATERAL (
        -- An order without a payment may not have reached the payment provider: it is the one that is tried again.
        SELECT count(*) AS orders, max(created_at) AS last,
               sum(credit_nano) FILTER (WHERE status <> :failed AND created_at >= :month) AS nano
        FROM purchases
        WHERE purchases.org_id = orgs.org_id AND automatic AND (status <> :pending OR payment_ref <> '')
    ) AS bought ON true
    WHERE (NOT is_told AND notice_nano > 0 AND balance_nano < notice_nano)
       OR (enabled AND balance_nano < threshold_nano AND coalesce(bought.last, '-infinity') <= :quiet_since)
    ORDER BY org_id LIMIT :limit
    """  # noqa: S608 - constant columns
)
_TOLD = text("UPDATE top_ups SET is_told = true WHERE org_id = :org_id AND NOT is_told RETURNING org_id")
_NOTICES = text(
    """
    SELECT notice_id, org_id, kind, amount_nano, created_at FROM notices
    WHERE org_id = :org_id ORDER BY created_at DESC, notice_id LIMIT :limit
    """
)


class PostgresTopUpStore:
    """The TopUpStore in PostgreSQL."""

    def __init__(self, database: Database, audit: PostgresAuditLog) -> None:
        self._database = database
        self._audit = audit

    async def rules(self, org_id: UUID) -> TopUp:
        """Return the rules of an organisation.

        Raises:
            NotFoundError: no such organisation.
        """
        async with self._database.transaction(org_id) as connection:
            row = (await connection.execute(_GET, {"org_id": org_id})).one_or_none()
        if row is None:
            raise NotFoundError("no such organisation")
        return TopUp() if row.enabled is None else _rules_from_row(row)

    async def set_rules(self, org_id: UUID, rules: TopUp, actor: Actor, now: datetime) -> TopUp:
        """Change them, but for the means of payment.

        Raises:
            NotFoundError: no such organisation.
        """
        values = {
            "org_id": org_id,
            "enabled": rules.enabled,
            "threshold": rules.threshold,
            "amount": rules.amount,
            "monthly_limit": rules.monthly_limit,
            "notice": rules.notice,
        }
        try:
            async with self._database.transaction(org_id) as connection:
                row = (await connection.execute(_GET, values)).one_or_none()
                known = TopUp() if row is None or row.enabled is None else _rules_from_row(row)
                changed = _rules_from_row((await connection.execute(_SET, values)).one())
                event = AuditEvent(
                    actor, "top_up.changed", f"top_up/{org_id}", *differences(_state(known), _state(changed))
                )
                await self._audit.append(connection, org_id, event, now)
                return changed
        except IntegrityError:
            raise NotFoundError("no such organisation") from None

    async def due(self, now: datetime, limit: int) -> Sequence[Due]:
        """Return organisations that are below one of their bounds and neither buying nor told of it."""
        month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        values = {
            "failed": int(PurchaseStatus.FAILED),
            "pending": int(PurchaseStatus.PENDING),
            "month": month,
            "quiet_since": now - PAUSE,
            "limit": limit,
        }
        async with self._database.installation_transaction() as connection:
            await connection.execute(_CALM)
            rows = (await connection.execute(_DUE, values)).all()
        return [Due(row.org_id, row.balance_nano, _rules_from_row(row), row.bought, row.orders) for row in rows]

    async def tell(self, notice: Notice) -> None:
        """Store a notice. Of a low balance there is one until the balance is above the bound again."""
        values = {
            "notice_id": notice.notice_id,
            "org_id": notice.org_id,
            "kind": notice.kind,
            "amount": notice.amount,
            "now": notice.created_at,
        }
        async with self._database.transaction(notice.org_id) as connection:
            if notice.kind == LOW_BALANCE:
                told = await connection.execute(_TOLD, {"org_id": notice.org_id})
                if told.one_or_none() is None:
                    return
            await connection.execute(INSERT_NOTICE, values)

    async def notices(self, org_id: UUID, limit: int) -> Sequence[Notice]:
        """Return notices, newest first."""
        async with self._database.transaction(org_id) as connection:
            rows = (await connection.execute(_NOTICES, {"org_id": org_id, "limit": limit})).all()
        return [Notice(row.notice_id, row.org_id, row.kind, row.amount_nano, row.created_at) for row in rows]


def _state(rules: TopUp) -> dict[str, Any]:
    """What the audit log says of the rules; not what the payment provider calls who pays."""
    return {
        "enabled": rules.enabled,
        "threshold_nano_usd": rules.threshold,
        "amount_nano_usd": rules.amount,
        "monthly_limit_nano_usd": rules.monthly_limit,
        "notice_nano_usd": rules.notice,
    }


def _rules_from_row(row: Any) -> TopUp:
    return TopUp(
        enabled=row.enabled,
        threshold=row.threshold_nano,
        amount=row.amount_nano,
        monthly_limit=row.monthly_limit_nano,
        notice=row.notice_nano,
        payer_ref=row.payer_ref,
        method_ref=row.method_ref,
    )
