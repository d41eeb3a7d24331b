"""`python -m metering.migrate`: run pending migrations and exit."""

from __future__ import annotations

import asyncio
import sys

from metering.app import usage_log
from metering.domain.errors import MeteringError
from metering.settings import Settings
from servicekit.clock import SystemClock
from servicekit.settings import SettingsError, load


async def _migrate(settings: Settings) -> None:
    log = usage_log(settings.clickhouse.model_copy(update={"migrate": True}), SystemClock())
    try:
        await log.start()
    finally:
        await log.stop(settings.drain.grace)


def main() -> None:
    """Run pending migrations. Exit code 1 if they cannot run, 2 if the settings are wrong."""
    try:
        asyncio.run(_migrate(load(Settings)))
    except SettingsError as error:
        sys.stderr.writelines(f"metering.migrate: {problem}\n" for problem in error.problems)
        sys.exit(2)
    except MeteringError as error:
        sys.stderr.write(f"metering.migrate: {error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
