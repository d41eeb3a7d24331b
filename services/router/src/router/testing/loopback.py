"""Names of hosts that are all this machine."""

from __future__ import annotations

import socket

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

# Reserved for tests by RFC 6761, so that no such name is ever anybody's.
DOMAIN = ".test"


class LoopbackResolver(AbstractResolver):
    """Finds every name below `.test` at 127.0.0.1, and asks the system for others."""

    def __init__(self) -> None:
        self._system = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Find the addresses of a host.

        Raises:
            OSError: there is none of that name.
        """
        if not host.endswith(DOMAIN):
            return await self._system.resolve(host, port, family)
        return [
            ResolveResult(
                hostname=host,
                host="127.0.0.1",
                port=port,
                family=socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
        ]

    async def close(self) -> None:
        """Nothing is held."""
        await self._system.close()
