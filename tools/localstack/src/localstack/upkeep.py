"""What has to be looked after while the stack runs: logs that grow, and a disk that fills."""

from __future__ import annotations

import asyncio

from localstack.disk import NEEDED_TO_GO_ON, check_space
from localstack.log_files import trim
from localstack.report import Report
from localstack.state import LOG_KEPT_WHILE_RUNNING, StateDir

_INTERVAL_S = 10.0


async def keep_up(
    state: StateDir, report: Report, *, interval_s: float = _INTERVAL_S, limit: int = LOG_KEPT_WHILE_RUNNING
) -> None:
    """Look again and again, for as long as the stack runs.

    Raises:
        DiskFullError: so little space is left that a stop in order is all that can be hoped for.
    """
    while True:
        await asyncio.to_thread(look_once, state, report, limit=limit)
        await asyncio.sleep(interval_s)


def look_once(
    state: StateDir, report: Report, *, limit: int = LOG_KEPT_WHILE_RUNNING, needed: int = NEEDED_TO_GO_ON
) -> None:
    """Cut logs that are larger than `limit` bytes, and check that `needed` bytes of the disk are free.

    Raises:
        DiskFullError: it is full.
    """
    check_space(state.root, needed)
    for log in sorted(state.logs.glob("*.log")):
        try:
            if trim(log, limit):
                report.progress(f"{log} had grown to {limit // 2**20} MiB; its content is in {log.name}.1")
        except OSError as error:
            report.problem(f"cannot cut the log {log}: {error.strerror or error}")
