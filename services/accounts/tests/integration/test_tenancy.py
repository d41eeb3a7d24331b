"""Row-level security: whatever a statement asks for, it sees the rows of one organisation."""

from __future__ import annotations

import ast
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import text

import accounts
from accounts.adapters.postgres.database import Database
from accounts.domain.errors import PowerfulRoleError, StoreUnavailableError
from accounts.testing import NewCustomer, serving_dsn

# What belongs to the installation rather than to an organisation. Everything else is a tenant's.
INSTALLATION_TABLES = {
    "alembic_version", "consumer_offsets", "destination_revision", "invoice_numbers", "lease_edges", "outbox", "price_versions", "publication", "quarantine",
    "oidc_flows", "sessions", "sign_in_failures", "suspended_usage", "user_identities", "users",
}  # fmt: skip
# Modules that may look across organisations: settlement, publication and the looks for low credit, and where an organisation is
# not known yet.
CROSS_TENANT_MODULES = {
    "auth_code_store", "byok_store", "content_store", "database", "destination_store", "key_store", "lease_store", "member_store", "outbox", "payment_store", "price_store",
    "reconciliation_store", "session_store", "settlement_store", "sign_in_store", "suspense_store", "top_up_store",
}  # fmt: skip
_TABLES = """
SELECT relname, relrowsecurity, relforcerowsecurity,
       EXISTS (SELECT FROM pg_attribute WHERE attrelid = pg_class.oid AND attname = 'org_id' AND attnotnull) AS has_org,
       (SELECT count(*) FROM pg_policy WHERE polrelid = pg_class.oid) AS policies,
       pg_get_userbyid(relowner) AS owner
FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace
"""


async def test_s09_every_table_of_a_tenant_has_an_org_and_forced_row_level_security(sql: asyncpg.Connection) -> None:
    rows = await sql.fetch(_TABLES)
    names = {row["relname"] for row in rows}
    assert names >= INSTALLATION_TABLES | {"orgs", "api_keys"}
    for row in rows:
        if row["relname"] in INSTALLATION_TABLES:
            assert not row["has_org"], f"{row['relname']} has an organisation, so it is a tenant's"
            continue
        assert row["has_org"], f"{row['relname']} has no org_id"
        assert (row["relrowsecurity"], row["relforcerowsecurity"], row["policies"]) == (True, True, 1), row["relname"]


async def test_s09_the_serving_role_owns_nothing_and_cannot_step_over_the_policies(
    sql: asyncpg.Connection, dsn: str
) -> None:
    serving = await asyncpg.connect(serving_dsn(dsn))
    try:
        role = await serving.fetchval("SELECT current_user")
        assert role not in {row["owner"] for row in await sql.fetch(_TABLES)}
        assert await serving.fetchval("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = $1", role) is False
        for statement in (
            "ALTER TABLE orgs NO FORCE ROW LEVEL SECURITY",
            "DROP POLICY tenant ON orgs",
            "CREATE TABLE other (id int)",
            "UPDATE alembic_version SET version_num = '0001'",
            "UPDATE ledger_entries SET nano = 1",
            "DELETE FROM ledger_entries",
            "TRUNCATE ledger_entries",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await serving.execute(statement)
    finally:
        await serving.close()


async def test_s09_a_transaction_sees_and_writes_the_rows_of_its_organisation_only(
    database: Database, new_customer: NewCustomer
) -> None:
    ours, _ = await new_customer()
    theirs, their_key = await new_customer()
    async with database.transaction(ours) as connection:
        for table in ("orgs", "api_keys", "ledger_entries", "grants"):
            found = await connection.execute(text(f"SELECT DISTINCT org_id FROM {table}"))
            assert [row.org_id for row in found] == [ours], table
        changed = await connection.execute(
            text("UPDATE api_keys SET name = 'mine' WHERE key_id = :id"), {"id": their_key}
        )
        assert changed.rowcount == 0
    with pytest.raises(StoreUnavailableError):
        async with database.transaction(ours) as connection:
            await connection.execute(
                text("INSERT INTO grants VALUES (:org_id, 'stolen', :id, 5)"), {"org_id": theirs, "id": uuid4()}
            )


async def test_s09_without_an_organisation_there_are_no_rows(dsn: str, new_customer: NewCustomer) -> None:
    await new_customer()
    serving = await asyncpg.connect(serving_dsn(dsn))
    try:
        assert await serving.fetchval("SELECT count(*) FROM orgs") == 0
        assert await serving.fetchval("SELECT count(*) FROM api_keys") == 0
    finally:
        await serving.close()


async def test_s09_a_role_above_the_policies_does_not_serve(
    dsn: str, database: Database, open_database: Callable[..., Database], sql: asyncpg.Connection
) -> None:
    await sql.execute("ALTER ROLE turnpike_serving BYPASSRLS")
    exempt = open_database(dsn)
    try:
        with pytest.raises(PowerfulRoleError):
            await exempt.start()
        assert not exempt.is_ready
    finally:
        await exempt.stop(timedelta(seconds=5))
        await sql.execute("ALTER ROLE turnpike_serving NOBYPASSRLS")


def test_s09_only_these_modules_look_across_organisations() -> None:
    found = {
        path.stem
        for path in Path(accounts.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "installation_transaction"
    }
    assert found <= CROSS_TENANT_MODULES
