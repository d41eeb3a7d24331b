"""The connection pool, its errors, and whose rows a transaction sees."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from asyncpg import PostgresError
from sqlalchemy import make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from accounts.adapters.postgres import schema
from accounts.domain.errors import PowerfulRoleError, StoreUnavailableError
from servicekit.clock import Clock
from servicekit.lifecycle import Component
from servicekit.logs import get_logger

_log = get_logger(__name__)

_RETRY_S: Final = 0.5
# For this transaction only: the connection goes back to the pool without it.
_SEE_ORG = text("SELECT set_config('turnpike.org_id', :org_id, true)")
# Takes no snapshot, unlike a SELECT: the outbox needs a lock before its first one.
_SEE_EVERYTHING = text("SET LOCAL turnpike.org_id = '*'")


class Database(Component):
    """PostgreSQL: opened at start, however long that takes, with the schema brought up to date.

    Row-level security shows a transaction the rows of one organisation, whatever its statements ask for.
    """

    name = "postgres"

    def __init__(
        self,
        dsn: str,
        clock: Clock,
        *,
        pool: int,
        connect_timeout: timedelta,
        statement_timeout: timedelta,
        owner_dsn: str | None,
    ) -> None:
        """Make a pool; nothing is connected yet.

        Args:
            dsn: `postgresql://user:password@host:port/database`, of the role that serves.
            clock: paces the attempts to connect.
            pool: most connections.
            connect_timeout: of a new connection.
            statement_timeout: after which PostgreSQL gives a statement up.
            owner_dsn: of the role that has the tables, to run pending migrations at start; None waits until somebody
                has.
        """
        self._clock = clock
        self._ready = False
        self._serving = _url(dsn)
        self._owner = None if owner_dsn is None else _url(owner_dsn)
        self._connect_args = _connect_args(connect_timeout.total_seconds(), statement_timeout.total_seconds())
        self._engine = create_async_engine(
            self._serving,
            pool_size=pool,
            max_overflow=0,
            pool_timeout=statement_timeout.total_seconds(),
            # A round trip per use, and no caller sees the connection that a restarted server left behind.
            pool_pre_ping=True,
            connect_args=self._connect_args,
            hide_parameters=True,
        )

    @property
    def is_ready(self) -> bool:
        """Whether the schema was found up to date."""
        return self._ready

    @asynccontextmanager
    async def transaction(self, org_id: UUID) -> AsyncIterator[AsyncConnection]:
        """A transaction on the rows of one organisation, committed at the end of the block, rolled back on any error.

        Raises:
            StoreUnavailableError: the database cannot be reached, does not answer, or chose this transaction to give way.
        """
        async with self._begin(self._engine, org_id) as connection:
            yield connection

    @asynccontextmanager
    async def installation_transaction(self) -> AsyncIterator[AsyncConnection]:
        """A transaction on the rows of every organisation: for what belongs to the installation, or crosses organisations.

        Settlement and publication are for all; a key, a session or an invitation is found by its digest before it is known
        whose it is. A test holds the list of the modules that may.

        Raises:
            StoreUnavailableError: see `transaction`.
        """
        async with self._begin(self._engine, None) as connection:
            yield connection

    async def start(self) -> None:
        """Connect and bring the schema up to date, again and again until it works.

        Raises:
            PowerfulRoleError: row-level security does not bind the role that serves.
        """
        while True:
            try:
                if await self._prepare():
                    self._ready = True
                    return
                _log.warning("schema.awaited")
            except StoreUnavailableError as error:
                _log.warning("postgres.awaited", error=str(error))
            await self._clock.sleep(_RETRY_S)

    async def migrate(self) -> None:
        """Run pending migrations as the owner, once.

        Raises:
            StoreUnavailableError: the database cannot be reached.
        """
        if self._owner is None:
            return
        engine = create_async_engine(
            self._owner, poolclass=NullPool, connect_args=self._connect_args, hide_parameters=True
        )
        try:
            async with self._begin(engine, None) as connection:
                await connection.run_sync(schema.migrate, self._serving)
        finally:
            await engine.dispose()

    async def stop(self, grace: timedelta) -> None:
        """Close the pool."""
        async with asyncio.timeout(grace.total_seconds()):
            await self._engine.dispose()

    async def _prepare(self) -> bool:
        await self.migrate()
        async with self._begin(self._engine, None) as connection:
            if not await connection.run_sync(schema.is_current):
                return False
            if await connection.run_sync(schema.is_above_row_security):
                raise PowerfulRoleError
        return True

    @asynccontextmanager
    async def _begin(self, engine: AsyncEngine, org_id: UUID | None) -> AsyncIterator[AsyncConnection]:
        try:
            async with engine.begin() as connection:
                if org_id is None:
                    await connection.execute(_SEE_EVERYTHING)
                else:
                    await connection.execute(_SEE_ORG, {"org_id": str(org_id)})
                yield connection
        except IntegrityError:
            raise
        except (DBAPIError, PoolTimeoutError, PostgresError, OSError, TimeoutError) as error:
            raise StoreUnavailableError(f"PostgreSQL: {type(error).__name__}") from error


def _url(dsn: str) -> URL:
    return make_url("postgresql+asyncpg://" + dsn.split("://", 1)[1])


def _connect_args(connect_s: float, statement_s: float) -> dict[str, Any]:
    return {
        "timeout": connect_s,
        "command_timeout": statement_s,
        "server_settings": {
            "application_name": "turnpike-accounts",
            "statement_timeout": str(int(statement_s * 1000)),
            "idle_in_transaction_session_timeout": str(int(statement_s * 2000)),
        },
    }
