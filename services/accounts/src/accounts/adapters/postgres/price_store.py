"""The price book in PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from accounts.adapters.postgres.database import Database
from accounts.domain.prices import KnownPrice

_LEARN: Final = text(
    """
    INSERT INTO price_versions (version, endpoint_id, price, learned_at)
    SELECT version, endpoint_id, price, CAST(:now AS timestamptz)
    FROM unnest(CAST(:versions AS text[]), CAST(:endpoint_ids AS text[]), CAST(:prices AS bytea[]))
        AS known (version, endpoint_id, price)
    ORDER BY version ON CONFLICT (version) DO NOTHING
    """
)
_FIND: Final = text(
    "SELECT version, endpoint_id, price FROM price_versions WHERE version = ANY(CAST(:versions AS text[]))"
)


class PostgresPriceStore:
    """The PriceStore in PostgreSQL: of the installation, so no organisation's rows are seen."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def learn(self, prices: Sequence[KnownPrice], now: datetime) -> Sequence[KnownPrice]:
        """Keep versions that are new."""
        async with self._database.installation_transaction() as connection:
            await learn_prices(connection, prices, now)
            return await _find(connection, [price.version for price in prices])

    async def find(self, versions: Collection[str]) -> Sequence[KnownPrice]:
        """Look versions up."""
        async with self._database.installation_transaction() as connection:
            return await _find(connection, versions)


async def learn_prices(connection: AsyncConnection, prices: Sequence[KnownPrice], now: datetime) -> None:
    """Keep versions that are new, within a transaction."""
    if prices:
        values = {
            "versions": [price.version for price in prices],
            "endpoint_ids": [price.endpoint_id for price in prices],
            "prices": [price.message for price in prices],
            "now": now,
        }
        await connection.execute(_LEARN, values)


async def _find(connection: AsyncConnection, versions: Collection[str]) -> list[KnownPrice]:
    return [KnownPrice(*row) for row in await connection.execute(_FIND, {"versions": list(versions)})]
