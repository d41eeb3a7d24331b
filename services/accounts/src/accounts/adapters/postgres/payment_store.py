"""Purchases and refunds in PostgreSQL: what a statement says, the entries, the balance and the notice are one transaction."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from accounts.adapters.postgres import payment_sql as sql
from accounts.adapters.postgres.audit_log import PostgresAuditLog
from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.outbox import enqueue
from accounts.adapters.postgres.rows import org_from_row
from accounts.adapters.postgres.top_up_store import INSERT_NOTICE
from accounts.domain import payments, top_ups
from accounts.domain.accounts import Org, OrgStatus
from accounts.domain.audit import AuditEvent, Values, differences
from accounts.domain.errors import InvalidFieldError, NotFoundError, TooEarlyError
from accounts.domain.payment_ports import UsageRefund, WonDispute
from accounts.domain.payments import Movement, PaymentStatement, Purchase, PurchaseStatus, StatementKind
from accounts.domain.people import PAYMENT_PROVIDER, TOP_UPS, Actor
from accounts.domain.postings import customer
from accounts.records import org_message
from contracts.ids import usage_event_id


class PostgresPaymentStore:
    """The PaymentStore in PostgreSQL."""

    def __init__(self, database: Database, audit: PostgresAuditLog) -> None:
        self._database = database
        self._audit = audit

    async def add(self, purchase: Purchase, idempotency_key: str, actor: Actor) -> Purchase:
        """Store a new purchase; what is there already under the idempotency key is returned instead.

        Raises:
            NotFoundError: no such organisation.
        """
        values = {
            "purchase_id": purchase.purchase_id,
            "org_id": purchase.org_id,
            "idempotency_key": idempotency_key,
            "status": int(purchase.status),
            "credit": purchase.credit,
            "fee": purchase.fee,
            "automatic": purchase.automatic,
            "created_at": purchase.created_at,
        }
        try:
            async with self._database.transaction(purchase.org_id) as connection:
                row = (await connection.execute(sql.INSERT, values)).one_or_none()
                if row is None:
                    return sql.purchase_from_row((await connection.execute(sql.BY_IDEMPOTENCY_KEY, values)).one())
                event = AuditEvent(actor, "purchase.created", _target(purchase.purchase_id), after=_state(purchase))
                await self._audit.append(connection, purchase.org_id, event, purchase.created_at)
        except IntegrityError:
            raise NotFoundError("no such organisation") from None
        return sql.purchase_from_row(row)

    async def note_order(self, purchase_id: UUID, checkout_ref: str, payment_ref: str) -> Purchase:
        """Note what the payment provider calls it."""
        values = {"purchase_id": purchase_id, "checkout_ref": checkout_ref, "payment_ref": payment_ref}
        async with self._database.installation_transaction() as connection:
            return sql.purchase_from_row((await connection.execute(sql.NOTE_ORDER, values)).one())

    async def fail(self, purchase_id: UUID, now: datetime) -> None:
        """Note that a pending purchase will not be paid."""
        async with self._database.installation_transaction() as connection:
            failed = (await connection.execute(sql.FAIL, _failing(purchase_id))).one_or_none()
            if failed is not None:
                event = AuditEvent(TOP_UPS, "purchase.failed", _target(purchase_id), after={"status": "failed"})
                await self._audit.append(connection, failed.org_id, event, now)

    async def note_refund_order(self, purchase: Purchase, amount: int, actor: Actor, now: datetime) -> None:
        """Note in the audit log that so many nano-dollars of a purchase are about to be paid back."""
        async with self._database.transaction(purchase.org_id) as connection:
            after = {"amount_nano_usd": amount}
            event = AuditEvent(actor, "purchase.refund_ordered", _target(purchase.purchase_id), after=after)
            await self._audit.append(connection, purchase.org_id, event, now)

    async def get(self, org_id: UUID, purchase_id: UUID) -> Purchase:
        """Return a purchase.

        Raises:
            NotFoundError: the organisation has none of this id.
        """
        async with self._database.transaction(org_id) as connection:
            row = (await connection.execute(sql.GET, {"org_id": org_id, "purchase_id": purchase_id})).one_or_none()
        if row is None:
            raise NotFoundError("no such purchase")
        return sql.purchase_from_row(row)

    async def page(self, org_id: UUID, offset: int, limit: int) -> tuple[list[Purchase], int]:
        """Return purchases, newest first, and how many there are in all."""
        values = {"org_id": org_id, "offset": offset, "limit": limit}
        async with self._database.transaction(org_id) as connection:
            rows = (await connection.execute(sql.PAGE, values)).all()
            total = (await connection.execute(sql.COUNT, {"org_id": org_id})).scalar_one()
        return [sql.purchase_from_row(row) for row in rows], int(total)

    async def apply(self, statement: PaymentStatement, now: datetime) -> bool:
        """Post what a statement says, once for its id, all or nothing. False when it is about nothing of ours.

        Raises:
            TooEarlyError: it returns what is not paid as far as the books know: what says so is still on its way.
        """
        names = {
            "purchase_id": statement.purchase_id,
            "checkout_ref": statement.checkout_ref,
            "payment_ref": statement.payment_ref,
        }
        async with self._database.installation_transaction() as connection:
            found = (await connection.execute(sql.FIND, names)).one_or_none()
            if found is None:
                return False
            # The organisation first, as everywhere, so that no two transactions wait for each other.
            org = org_from_row((await connection.execute(sql.LOCK_ORG, {"org_id": found.org_id})).one())
            locked = await connection.execute(sql.LOCK, {"purchase_id": found.purchase_id})
            purchase = sql.purchase_from_row(locked.one())
            remembered = await connection.execute(sql.REMEMBER, {**_remembering(statement, purchase), "now": now})
            if remembered.one_or_none() is not None:
                await self._post(connection, statement, purchase, org, now)
                await self._write_down(connection, statement, purchase, org, now)
        return True

    async def _write_down(
        self, connection: AsyncConnection, statement: PaymentStatement, known: Purchase, org: Org, now: datetime
    ) -> None:
        values = {"org_id": known.org_id, "purchase_id": known.purchase_id}
        purchase = sql.purchase_from_row((await connection.execute(sql.GET, values)).one())
        after = org_from_row((await connection.execute(sql.LOCK_ORG, values)).one())
        before, now_is = _changes(known, org, purchase, after)
        if not now_is and statement.kind is StatementKind.PAID and known.status is PurchaseStatus.PAID:
            # The provider says of one payment twice that it was made: of the order, and of the payment.
            return
        action = f"purchase.{statement.kind.value}"
        event = AuditEvent(
            PAYMENT_PROVIDER,
            action,
            _target(known.purchase_id),
            before,
            {**now_is, "stated_nano_usd": statement.amount},
        )
        await self._audit.append(connection, known.org_id, event, now)

    async def _post(
        self, connection: AsyncConnection, statement: PaymentStatement, purchase: Purchase, org: Org, now: datetime
    ) -> None:
        if statement.kind is StatementKind.PAID:
            await self._pay(connection, statement, purchase, now)
        elif statement.kind is StatementKind.FAILED:
            await connection.execute(sql.FAIL, _failing(purchase.purchase_id))
        elif purchase.status is not PurchaseStatus.PAID:
            raise TooEarlyError("the purchase is not paid yet")
        elif statement.kind is StatementKind.REFUNDED:
            await self._return(connection, statement, purchase, org, now, refunded=statement.amount)
        elif statement.kind is StatementKind.DISPUTED:
            await self._return(connection, statement, purchase, org, now, disputed=statement.amount)
            await _tell(connection, purchase.org_id, statement, top_ups.DISPUTE_OPENED, statement.amount, now)
        elif statement.kind is StatementKind.DISPUTE_WON:
            await self._win(connection, statement, purchase, org, now)

    async def _win(
        self, connection: AsyncConnection, statement: PaymentStatement, purchase: Purchase, org: Org, now: datetime
    ) -> None:
        """Give back what was taken for a dispute, and let an organisation that owes nothing spend again."""
        if purchase.disputed:
            await self._return(connection, statement, purchase, org, now, disputed=0)
            await _tell(connection, purchase.org_id, statement, top_ups.DISPUTE_CLOSED, purchase.disputed, now)
        values = {"org_id": org.org_id, "active": int(OrgStatus.ACTIVE), "frozen": int(OrgStatus.FROZEN)}
        row = (await connection.execute(sql.UNFREEZE, values)).one_or_none()
        if row is not None:
            released = org_from_row(row)
            await enqueue(connection, [org_message(released, now)])
            await _tell(connection, org.org_id, statement, top_ups.ORG_UNFROZEN, released.balance, now)

    async def win_dispute(self, won: WonDispute, actor: Actor, now: datetime) -> tuple[Purchase, bool]:
        """Give back what was taken for a dispute, once; returns the purchase, and whether the organisation is still frozen.

        Raises:
            NotFoundError: the organisation has no such purchase.
            InvalidFieldError: it was never disputed.
        """
        names = {"org_id": won.org_id, "purchase_id": won.purchase_id, "kind": StatementKind.DISPUTED.value}
        async with self._database.transaction(won.org_id) as connection:
            locked = (await connection.execute(sql.LOCK_ORG, names)).one_or_none()
            found = (await connection.execute(sql.GET, names)).one_or_none()
            if locked is None or found is None:
                raise NotFoundError("no such purchase")
            if not (await connection.execute(sql.WAS_DISPUTED, names)).scalar_one():
                raise InvalidFieldError("purchase_id", "was never disputed")
            org, known = org_from_row(locked), sql.purchase_from_row(found)
            statement = PaymentStatement(f"operator/{won.purchase_id}/{now.isoformat()}", StatementKind.DISPUTE_WON)
            await self._win(connection, statement, known, org, now)
            purchase = sql.purchase_from_row((await connection.execute(sql.GET, names)).one())
            after = org_from_row((await connection.execute(sql.LOCK_ORG, names)).one())
            before, now_is = _changes(known, org, purchase, after)
            if now_is:
                event = AuditEvent(
                    actor, "purchase.dispute_won", _target(known.purchase_id), before, {**now_is, "reason": won.reason}
                )
                await self._audit.append(connection, won.org_id, event, now)
        return purchase, after.status is OrgStatus.FROZEN

    async def _pay(
        self, connection: AsyncConnection, statement: PaymentStatement, purchase: Purchase, now: datetime
    ) -> None:
        await self._keep_method(connection, statement, purchase.org_id)
        if purchase.status is PurchaseStatus.PAID:
            return
        if statement.amount != purchase.gross:
            # Not what was asked for: the money is booked, and people decide what it is for.
            moves = (Movement(payments.CASH, payments.SUSPENSE, statement.amount, "purchase_mismatch"),)
            await self._move(connection, statement, purchase.org_id, moves, now)
            return
        number = (await connection.execute(sql.NEXT_INVOICE)).scalar_one()
        await connection.execute(
            sql.PAY,
            {
                "purchase_id": purchase.purchase_id,
                "paid": int(PurchaseStatus.PAID),
                "now": now,
                "invoice_number": number,
                "checkout_ref": statement.checkout_ref,
                "payment_ref": statement.payment_ref,
            },
        )
        await self._move(connection, statement, purchase.org_id, payments.paid(purchase), now)

    async def _keep_method(self, connection: AsyncConnection, statement: PaymentStatement, org_id: UUID) -> None:
        if statement.payer_ref and statement.method_ref:
            values = {"org_id": org_id, "payer_ref": statement.payer_ref, "method_ref": statement.method_ref}
            await connection.execute(sql.KEEP_METHOD, values)

    async def _return(
        self,
        connection: AsyncConnection,
        statement: PaymentStatement,
        purchase: Purchase,
        org: Org,
        now: datetime,
        *,
        refunded: int | None = None,
        disputed: int | None = None,
    ) -> None:
        # Statements of refunds are cumulative, so an older one that arrives late takes nothing back.
        refunds = purchase.refunded if refunded is None else max(purchase.refunded, refunded)
        disputes = purchase.disputed if disputed is None else disputed
        refunds = min(refunds, purchase.gross)
        disputes = min(disputes, purchase.gross - refunds)
        await connection.execute(
            sql.RETURN, {"purchase_id": purchase.purchase_id, "refunded": refunds, "disputed": disputes}
        )
        reason = "purchase_refund" if refunded is not None else "purchase_dispute"
        moves = payments.returned(purchase, purchase.refunded + purchase.disputed, refunds + disputes, reason)
        after = await self._move(connection, statement, purchase.org_id, moves, now, may_freeze=True)
        if after is not None and after.status is OrgStatus.FROZEN and org.status is not OrgStatus.FROZEN:
            await _tell(connection, purchase.org_id, statement, top_ups.ORG_FROZEN, after.balance, now)

    async def _move(
        self,
        connection: AsyncConnection,
        statement: PaymentStatement,
        org_id: UUID,
        movements: Iterable[Movement],
        now: datetime,
        *,
        may_freeze: bool = False,
    ) -> Org | None:
        moves = tuple(movements)
        cause_id = uuid5(org_id, f"payment/{statement.statement_id}")
        for move in moves:
            await connection.execute(sql.ENTRY, _entry(cause_id, org_id, move, now))
        change = payments.customer_change(org_id, moves)
        if not change:
            return None
        values = {"org_id": org_id, "change": change, "may_freeze": may_freeze, "frozen": int(OrgStatus.FROZEN)}
        org = org_from_row((await connection.execute(sql.CHANGE_CREDIT, values)).one())
        await enqueue(connection, [org_message(org, now)])
        return org

    async def refund_usage(self, refund: UsageRefund, actor: Actor, now: datetime) -> int:
        """Give back a charge, once for the idempotency key. Returns what was given back for the generation in all.

        Raises:
            NotFoundError: no such generation of this organisation has been settled.
            InvalidFieldError: more than is left of the charge.
        """
        event_id = UUID(usage_event_id(refund.generation_id))
        org_id, refund_id = refund.org_id, uuid5(refund.org_id, f"usage-refund/{refund.idempotency_key}")
        async with self._database.transaction(org_id) as connection:
            if (await connection.execute(sql.LOCK_ORG, {"org_id": org_id})).one_or_none() is None:
                raise NotFoundError("no such organisation")
            found = await connection.execute(sql.CHARGED, {"org_id": org_id, "event_id": event_id})
            charged = found.one_or_none()
            if charged is None:
                raise NotFoundError("no such generation")
            before = int((await connection.execute(sql.REFUNDED, {"event_id": event_id})).scalar_one())
            values = {
                "org_id": org_id,
                "idempotency_key": refund.idempotency_key,
                "refund_id": refund_id,
                "event_id": event_id,
                "nano": refund.amount,
                "now": now,
            }
            if (await connection.execute(sql.REFUND, values)).one_or_none() is None:
                return before
            # Raised after the insert, so that a repeat of what was done is never refused for what it did itself.
            payments.checked_refund(refund.amount, charged.cost_nano - before)
            move = Movement(payments.REVENUE_REFUND, customer(org_id), refund.amount, refund.reason or "usage_refund")
            await connection.execute(sql.ENTRY, _entry(refund_id, org_id, move, now))
            changing = {"org_id": org_id, "change": refund.amount, "may_freeze": False, "frozen": int(OrgStatus.FROZEN)}
            org = org_from_row((await connection.execute(sql.CHANGE_CREDIT, changing)).one())
            await enqueue(connection, [org_message(org, now)])
            after = {
                "amount_nano_usd": refund.amount,
                "refunded_nano_usd": before + refund.amount,
                "reason": move.reason,
            }
            event = AuditEvent(actor, "usage.refunded", f"generation/{refund.generation_id}", after=after)
            await self._audit.append(connection, org_id, event, now)
        return before + refund.amount


def _target(purchase_id: UUID) -> str:
    return f"purchase/{purchase_id}"


def _state(purchase: Purchase) -> dict[str, Any]:
    """What the audit log says of a purchase: not what the payment provider calls it."""
    return {
        "status": purchase.status.name.lower(),
        "credit_nano_usd": purchase.credit,
        "fee_nano_usd": purchase.fee,
        "refunded_nano_usd": purchase.refunded,
        "disputed_nano_usd": purchase.disputed,
        "invoice_number": purchase.invoice_number,
        "automatic": purchase.automatic,
    }


def _changes(known: Purchase, org: Org, purchase: Purchase, after: Org) -> tuple[Values, Values]:
    """What was and is of a purchase and of whether its organisation may spend."""
    return differences(
        _state(known) | {"org_status": org.status.name.lower()},
        _state(purchase) | {"org_status": after.status.name.lower()},
    )


def _entry(cause_id: UUID, org_id: UUID, move: Movement, now: datetime) -> dict[str, Any]:
    return {
        "cause_id": cause_id,
        "org_id": org_id,
        "debit": move.debit,
        "credit": move.credit,
        "nano": move.nano,
        "reason": move.reason,
        "now": now,
    }


def _failing(purchase_id: UUID) -> dict[str, Any]:
    failed, pending = int(PurchaseStatus.FAILED), int(PurchaseStatus.PENDING)
    return {"purchase_id": purchase_id, "failed": failed, "pending": pending}


def _remembering(statement: PaymentStatement, purchase: Purchase) -> dict[str, Any]:
    return {
        "statement_id": statement.statement_id,
        "org_id": purchase.org_id,
        "purchase_id": purchase.purchase_id,
        "kind": statement.kind.value,
        "amount": statement.amount,
    }


async def _tell(
    connection: AsyncConnection, org_id: UUID, statement: PaymentStatement, kind: str, amount: int, now: datetime
) -> None:
    notice_id = uuid5(org_id, f"{kind}/{statement.statement_id}")
    values = {"notice_id": notice_id, "org_id": org_id, "kind": kind, "amount": amount, "now": now}
    await connection.execute(INSERT_NOTICE, values)
