"""An HTTP client for addresses that strangers chose: it connects to public addresses only (S15, S16).

A name is resolved when a connection is made, every address of it is looked at, and the connection goes to an address that
was looked at: there is no moment between the check and the connection in which a name can be pointed elsewhere.
"""

from __future__ import annotations

import ipaddress
import socket
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
# Both carry an IPv4 address in their last 32 bits (RFC 6052).
_NAT64: Final = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")


class PrivateAddressError(OSError):
    """An address is not public. Says which host, not which address: whoever asks learns nothing of the network."""

    def __init__(self, host: str) -> None:
        super().__init__(f"{host} is not at a public address")


def is_public(address: IPAddress) -> bool:
    """Whether an address is one of the internet, whatever it is wrapped in."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = _inner(address)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast and not address.is_reserved


def _inner(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if any(address in network for network in (*_NAT64, _COMPATIBLE)):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


class PublicResolver(AbstractResolver):
    """Resolves names whose every address is public."""

    def __init__(self, resolver: AbstractResolver | None = None) -> None:
        """Make a resolver.

        Args:
            resolver: that is asked; None for the system's.
        """
        self._resolver = resolver or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Resolve a name.

        Raises:
            PrivateAddressError: one of its addresses is not public.
        """
        found = await self._resolver.resolve(host, port, family)
        for each in found:
            if not is_public(ipaddress.ip_address(each["host"].partition("%")[0])):
                raise PrivateAddressError(host)
        return found

    async def close(self) -> None:
        """Release what it holds."""
        await self._resolver.close()


def check_literal(url: str) -> None:
    """Check the host of an address where it is a literal: no resolver is asked about those.

    Raises:
        PrivateAddressError: it is not public.
        ValueError: not an address.
    """
    host = urlsplit(url).hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return
    if not is_public(address):
        raise PrivateAddressError(host)


def public_session(
    *, private: bool, timeout: timedelta, connections: int, resolver: AbstractResolver | None = None
) -> aiohttp.ClientSession:
    """Open a client. Callers check literals themselves (`check_literal`) and follow no redirect.

    Args:
        private: whether addresses of private networks are let through.
        timeout: of a whole exchange.
        connections: at a time, to all hosts together.
        resolver: that is asked; None for the system's.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=connections,
            limit_per_host=8,
            ttl_dns_cache=10,
            resolver=resolver if private else PublicResolver(resolver),
        ),
        timeout=aiohttp.ClientTimeout(total=timeout.total_seconds()),
        trust_env=False,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )
