"""The connection pool, its errors, and the schema."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from asyncpg import PostgresError
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from accounts.domain.errors import StoreUnavailableError
from servicekit.clock import Clock
from servicekit.lifecycle import Component
from servicekit.logs import get_logger

_log = get_logger(__name__)

# Any number, the same in every process: one migrates, the others wait for it.
_MIGRATION_LOCK: Final = 7_141_530_021
_RETRY_S: Final = 0.5


class Database(Component):
    """PostgreSQL: opened at start, however long that takes, with the schema brought up to date."""

    name = "postgres"

    def __init__(
        self,
        dsn: str,
        clock: Clock,
        *,
        pool: int,
        connect_timeout: timedelta,
        statement_timeout: timedelta,
        may_migrate: bool,
    ) -> None:
        """Make a pool; nothing is connected yet.

        Args:
            dsn: `postgresql://user:password@host:port/database`.
            clock: paces the attempts to connect.
            pool: most connections.
            connect_timeout: of a new connection.
            statement_timeout: after which PostgreSQL gives a statement up.
            may_migrate: run pending migrations at start; otherwise wait until somebody has.
        """
        self._clock = clock
        self._may_migrate = may_migrate
        self._ready = False
        seconds = statement_timeout.total_seconds()
        self._engine = create_async_engine(
            "postgresql+asyncpg://" + dsn.split("://", 1)[1],
            pool_size=pool,
            max_overflow=0,
            pool_timeout=seconds,
            # A round trip per use, and no caller sees the connection that a restarted server left behind.
            pool_pre_ping=True,
            connect_args={
                "timeout": connect_timeout.total_seconds(),
                "command_timeout": seconds,
                "server_settings": {
                    "application_name": "turnpike-accounts",
                    "statement_timeout": str(int(seconds * 1000)),
                    "idle_in_transaction_session_timeout": str(int(seconds * 2000)),
                },
            },
            hide_parameters=True,
        )

    @property
    def is_ready(self) -> bool:
        """Whether the schema was found up to date."""
        return self._ready

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A transaction, committed at the end of the block and rolled back on any error.

        Raises:
            StoreUnavailableError: the database cannot be reached, does not answer, or chose this transaction to give way.
        """
        try:
            async with self._engine.begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except (DBAPIError, PoolTimeoutError, PostgresError, OSError, TimeoutError) as error:
            raise StoreUnavailableError(f"PostgreSQL: {type(error).__name__}") from error

    async def start(self) -> None:
        """Connect and bring the schema up to date, again and again until it works."""
        while True:
            try:
                async with self.transaction() as connection:
                    if await connection.run_sync(self._prepare):
                        self._ready = True
                        return
                _log.warning("schema.awaited")
            except StoreUnavailableError as error:
                _log.warning("postgres.awaited", error=str(error))
            await self._clock.sleep(_RETRY_S)

    async def stop(self, grace: timedelta) -> None:
        """Close the pool."""
        async with asyncio.timeout(grace.total_seconds()):
            await self._engine.dispose()

    def _prepare(self, connection: Connection) -> bool:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
        config = Config()
        config.set_main_option("script_location", "accounts:migrations")
        config.set_main_option("path_separator", "os")
        head = ScriptDirectory.from_config(config).get_current_head()
        if MigrationContext.configure(connection).get_current_revision() == head:
            return True
        if not self._may_migrate:
            return False
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        _log.info("schema.migrated", revision=head)
        return True
