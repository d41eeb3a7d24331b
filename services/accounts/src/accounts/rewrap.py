"""`python -m accounts.rewrap`: put every data key under the current key-encryption key, and exit."""

from __future__ import annotations

import asyncio
import sys

from accounts.app import byok_of, database, destinations_of
from accounts.domain.errors import NotSetUpError
from accounts.settings import Settings
from contracts.sealed_secrets import SealError
from servicekit.clock import SystemClock
from servicekit.settings import SettingsError, load

_BATCH = 500


async def _rewrap(settings: Settings) -> int:
    clock = SystemClock()
    store = database(settings.postgres, clock)
    await store.start()
    try:
        byok, total = byok_of(settings, store, clock), 0
        while count := await byok.rewrap(_BATCH):
            total += count
        destinations = destinations_of(settings, store, clock)
        while count := await destinations.rewrap(_BATCH):
            total += count
        return total
    finally:
        await store.stop(settings.drain.grace)


def main() -> None:
    """Rewrap everything. Exit code 2 if the settings are wrong, 1 if a data key does not open."""
    try:
        settings = load(Settings)
        total = asyncio.run(_rewrap(settings))
    except SettingsError as error:
        sys.stderr.writelines(f"accounts.rewrap: {problem}\n" for problem in error.problems)
        sys.exit(2)
    except (NotSetUpError, OSError, ValueError) as error:
        sys.stderr.write(f"accounts.rewrap: ACCOUNTS_BYOK_KEKS: {error}\n")
        sys.exit(2)
    except SealError as error:
        sys.stderr.write(f"accounts.rewrap: {error}\n")
        sys.exit(1)
    sys.stdout.write(f"{total} data keys put under another key-encryption key\n")


if __name__ == "__main__":
    main()
