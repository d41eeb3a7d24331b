"""The schema: its migrations, and what the role that serves may do with it.

Two roles meet here. The *owner* has the tables and runs the migrations; the *serving role* reads and writes, is bound by
row-level security, and can neither change the schema nor what was written to an append-only table.
"""

from __future__ import annotations

from typing import Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.engine import URL

from servicekit.logs import get_logger

_log = get_logger(__name__)

# Any number, the same in every process: one migrates, the others wait for it.
_MIGRATION_LOCK: Final = 7_141_530_021

_LOCK = text("SELECT pg_advisory_xact_lock(:lock)")
# The owner is bound by row-level security too, and migrations touch the rows of everybody.
_SEE_EVERYTHING = text("SELECT set_config('turnpike.org_id', '*', true)")
_NAME_ROLE = text(
    "SELECT set_config('turnpike.serving_role', :name, true), set_config('turnpike.serving_password', :password, true)"
)
# What cannot take parameters takes them from the settings of the transaction, quoted by PostgreSQL itself.
_MAKE_ROLE = text(
    """
    DO $$
    DECLARE role text := current_setting('turnpike.serving_role');
    BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            EXECUTE format('CREATE ROLE %I LOGIN PASSWORD %L', role, current_setting('turnpike.serving_password'));
        END IF;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL;  -- made by a migration of another database of the same server
    END $$
    """
)
_GRANT = text(
    """
    DO $$
    DECLARE
        role text := current_setting('turnpike.serving_role');
        append_only regclass;
    BEGIN
        EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', role);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO %I', role);
        EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM %I', role);
        FOR append_only IN SELECT DISTINCT tgrelid FROM pg_trigger WHERE tgfoid = 'refuse_change'::regproc LOOP
            EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON %s FROM %I', append_only, role);
        END LOOP;
    END $$
    """
)
_POWERS = text(
    """
    SELECT (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user)
        OR EXISTS (SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace
                   AND pg_has_role(current_user, relowner, 'MEMBER'))
    """
)


def migrate(connection: Connection, serving: URL) -> None:
    """Run pending migrations as the owner, and give the serving role what it needs.

    Args:
        connection: of the owner, in a transaction.
        serving: names the serving role, with the password that it is made with if the server does not have it yet.
    """
    connection.execute(_LOCK, {"lock": _MIGRATION_LOCK})
    connection.execute(_SEE_EVERYTHING)
    if not is_current(connection):
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        _log.info("schema.migrated", revision=_head())
    connection.execute(_NAME_ROLE, {"name": serving.username or "", "password": serving.password or ""})
    connection.execute(_MAKE_ROLE)
    connection.execute(_GRANT)


def is_current(connection: Connection) -> bool:
    """Whether every migration that this version knows has run."""
    return MigrationContext.configure(connection).get_current_revision() == _head()


def is_above_row_security(connection: Connection) -> bool:
    """Whether the connection's role is one that row-level security does not bind: superuser, exempt, or the owner."""
    return bool(connection.execute(_POWERS).scalar_one())


def _head() -> str | None:
    return ScriptDirectory.from_config(_config()).get_current_head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "accounts:migrations")
    config.set_main_option("path_separator", "os")
    return config
