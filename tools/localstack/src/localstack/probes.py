"""Does something answer on this machine? Small questions, asked often, so nothing is imported for them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from urllib.parse import urlsplit

_LIMIT_S = 2.0


async def accepts(port: int) -> bool:
    """Whether a connection to a port of this machine is accepted."""
    try:
        async with asyncio.timeout(_LIMIT_S):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def http_status(url: str, headers: Mapping[str, str] | None = None) -> int:
    """The status of a GET of `url` (plain http), or 0 for no answer."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    lines = [f"GET {parts.path or '/'} HTTP/1.1", f"Host: {host}:{port}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    try:
        async with asyncio.timeout(_LIMIT_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write("\r\n".join([*lines, "", ""]).encode())
                return _status(await reader.readline())
            finally:
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()
    except (OSError, TimeoutError, ValueError):
        return 0


def _status(line: bytes) -> int:
    _, _, rest = line.partition(b" ")
    return int(rest[:3])


async def is_ready(admin_url: str) -> bool:
    """Whether a service says that it is ready."""
    return await http_status(f"{admin_url}/healthz/ready") == 200
