"""Waiting for what happens in another task, thread or process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

_STEP_S = 0.02


async def eventually(holds: Callable[[], object | Awaitable[object]], what: str = "", seconds: float = 20.0) -> None:
    """Return as soon as something holds.

    Raises:
        AssertionError: it did not within `seconds`.
    """
    for _ in range(int(seconds / _STEP_S)):
        held = holds()
        if await held if isinstance(held, Awaitable) else held:
            return
        await asyncio.sleep(_STEP_S)
    raise AssertionError(f"did not happen in {seconds} s: {what}")
