"""Waiting for what happens in another thread or process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_STEP_SECONDS = 0.02


async def eventually(holds: Callable[[], object], what: str = "", seconds: float = 15.0) -> None:
    """Return as soon as something holds.

    Raises:
        AssertionError: it did not within `seconds`.
    """
    for _ in range(int(seconds / _STEP_SECONDS)):
        if holds():
            return
        await asyncio.sleep(_STEP_SECONDS)
    raise AssertionError(f"did not happen in {seconds} s: {what}")
