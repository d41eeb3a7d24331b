"""How long a provider goes on after the caller has gone: from the caller's close to the close of the provider's connection.

Both moments are read from the machine's monotonic clock, which its processes share.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import aiohttp

from turnpike_bench.load import Call

LIMIT_S = 10.0


class NotCancelledError(Exception):
    """The provider's connection stayed open for longer than LIMIT_S."""


async def measure(call: Call, upstream_url: str, rounds: int) -> list[float]:
    """Leave `rounds` streams after their first event, one after the other.

    Args:
        call: a paced stream through Turnpike.
        upstream_url: base URL of the provider, which is asked for the moments at which its streams were cut.
        rounds: how many.

    Returns:
        Seconds, in the order in which they were measured.

    Raises:
        NotCancelledError: a provider went on.
    """
    found = []
    async with aiohttp.ClientSession() as session:
        for number in range(1, rounds + 1):
            left_at = await _leave(call)
            cut_at = await _cut(session, f"{upstream_url}/cuts", number)
            found.append(cut_at - left_at)
    return found


async def _leave(call: Call) -> float:
    reader, writer = await asyncio.open_connection(*call.address)
    writer.write(call.encoded())
    await reader.readuntil(b"data: ")
    left_at = time.monotonic()
    writer.close()
    return left_at


async def _cut(session: aiohttp.ClientSession, url: str, number: int) -> float:
    deadline = time.monotonic() + LIMIT_S
    while True:
        async with session.get(url) as answer:
            cuts: Sequence[float] = await answer.json(content_type=None)
        if len(cuts) >= number:
            return cuts[number - 1]
        if time.monotonic() > deadline:
            raise NotCancelledError(f"stream {number} was still open after {LIMIT_S:.0f} s")
        await asyncio.sleep(0.02)
