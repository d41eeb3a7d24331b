"""What signing in needs of PostgreSQL: accounts by address or identity, failed attempts, and flows under way."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.people_rows import USER_COLUMNS, add_user, user_from_row
from accounts.domain.oidc import OidcFlow, OidcIdentity
from accounts.domain.people import User
from accounts.domain.sessions import FAILURE_WINDOW

# Constant columns; every value is a parameter.
_BY_EMAIL = text(f"SELECT {USER_COLUMNS} FROM users WHERE email = :email")  # noqa: S608 - constant columns
_BY_IDENTITY = text(
    f"""
    SELECT {USER_COLUMNS} FROM user_identities JOIN users USING (user_id)
    WHERE issuer = :issuer AND subject = :subject
    """  # noqa: S608 - constant columns
)
_LINK = text(
    """
    INSERT INTO user_identities (issuer, subject, user_id, created_at) VALUES (:issuer, :subject, :user_id, :now)
    ON CONFLICT (issuer, subject) DO NOTHING
    """
)
_SET_PASSWORD = text("UPDATE users SET password_hash = :hash WHERE user_id = :user_id")
# Counted before the password is looked at, so that attempts at the same moment cannot pass together.
_COUNT = text(
    """
    INSERT INTO sign_in_failures AS failures (subject, count, since) VALUES (:subject, 1, :now)
    ON CONFLICT (subject) DO UPDATE SET
        count = CASE WHEN failures.since <= :window_start THEN 1 ELSE failures.count + 1 END,
        since = CASE WHEN failures.since <= :window_start THEN :now ELSE failures.since END
    RETURNING count AS attempts, since
    """
)
_UNCOUNT = text("UPDATE sign_in_failures SET count = greatest(count - 1, 0) WHERE subject = :subject")
_FORGET = text("DELETE FROM sign_in_failures WHERE subject = :subject OR since <= :window_start")
_ADD_FLOW = text(
    """
    INSERT INTO oidc_flows (state_digest, nonce, code_verifier, expires_at)
    VALUES (:state_digest, :nonce, :code_verifier, :expires_at)
    """
)
_DROP_OLD_FLOWS = text("DELETE FROM oidc_flows WHERE expires_at <= :now")
_TAKE_FLOW = text(
    """
    DELETE FROM oidc_flows WHERE state_digest = :state_digest
    RETURNING state_digest, nonce, code_verifier, expires_at
    """
)


class PostgresSignInStore:
    """The SignInStore in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def by_email(self, email: str) -> User | None:
        """Find an account by its address."""
        async with self._database.installation_transaction() as connection:
            row = (await connection.execute(_BY_EMAIL, {"email": email})).one_or_none()
        return None if row is None else user_from_row(row)

    async def by_identity(self, identity: OidcIdentity, new: User) -> User:
        """Find the account of an identity; the one with its verified address, or a new one, where there is none yet."""
        names = {"issuer": identity.issuer, "subject": identity.subject}
        async with self._database.installation_transaction() as connection:
            row = (await connection.execute(_BY_IDENTITY, names)).one_or_none()
            if row is None:
                row = (await connection.execute(_BY_EMAIL, {"email": new.email})).one_or_none()
                user = new if row is None else user_from_row(row)
                if row is None:
                    await add_user(connection, new)
                await connection.execute(_LINK, names | {"user_id": user.user_id, "now": new.created_at})
                return user
            return user_from_row(row)

    async def set_password(self, user_id: UUID, password_hash: str) -> None:
        """Change a password."""
        async with self._database.installation_transaction() as connection:
            await connection.execute(_SET_PASSWORD, {"user_id": user_id, "hash": password_hash})

    async def count_attempts(self, limits: Mapping[str, int], now: datetime) -> int:
        """Count an attempt for each subject. Returns seconds to wait when one has had more than its limit, 0 otherwise."""
        wait = 0
        async with self._database.installation_transaction() as connection:
            for subject in sorted(limits):
                values = {"subject": subject, "now": now, "window_start": now - FAILURE_WINDOW}
                row = (await connection.execute(_COUNT, values)).one()
                if row.attempts > limits[subject]:
                    wait = max(wait, int((row.since + FAILURE_WINDOW - now).total_seconds()) + 1)
        return wait

    async def forgive(self, account: str, address: str, now: datetime) -> None:
        """An attempt was right: the account has no failures, and the address one less."""
        async with self._database.installation_transaction() as connection:
            await connection.execute(_FORGET, {"subject": account, "window_start": now - FAILURE_WINDOW})
            await connection.execute(_UNCOUNT, {"subject": address})

    async def add_flow(self, flow: OidcFlow, now: datetime) -> None:
        """Remember a flow that begins, and forget those that are over."""
        async with self._database.installation_transaction() as connection:
            await connection.execute(_DROP_OLD_FLOWS, {"now": now})
            await connection.execute(_ADD_FLOW, {name: getattr(flow, name) for name in OidcFlow.__slots__})

    async def take_flow(self, state_digest: str) -> OidcFlow | None:
        """Find a flow and forget it: it ends once."""
        async with self._database.installation_transaction() as connection:
            row = (await connection.execute(_TAKE_FLOW, {"state_digest": state_digest})).one_or_none()
        return None if row is None else OidcFlow(*row)
