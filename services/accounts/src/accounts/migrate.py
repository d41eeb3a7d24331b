"""`python -m accounts.migrate`: run pending migrations and exit."""

from __future__ import annotations

import asyncio
import sys

from accounts.app import database
from accounts.settings import Settings
from servicekit.clock import SystemClock
from servicekit.settings import SettingsError, load


async def _migrate(settings: Settings) -> None:
    store = database(settings.postgres.model_copy(update={"migrate": True}), SystemClock())
    try:
        await store.start()
    finally:
        await store.stop(settings.drain.grace)


def main() -> None:
    """Run pending migrations, waiting for PostgreSQL as long as it takes. Exit code 2 if the settings are wrong."""
    try:
        settings = load(Settings)
    except SettingsError as error:
        sys.stderr.writelines(f"accounts.migrate: {problem}\n" for problem in error.problems)
        sys.exit(2)
    if settings.postgres.owner_dsn is None:
        sys.stderr.write("accounts.migrate: ACCOUNTS_POSTGRES_OWNER_DSN: required\n")
        sys.exit(2)
    asyncio.run(_migrate(settings))


if __name__ == "__main__":
    main()
