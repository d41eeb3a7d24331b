"""Where a request comes from: the other end of the socket, or what a proxy that is trusted says of it."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address

from aiohttp import web

from edge.domain.principal import Address, Network

_FORWARDED_FOR = "X-Forwarded-For"


class ClientAddresses:
    """Finds the address of callers."""

    def __init__(self, trusted: Sequence[Network]) -> None:
        """`trusted` has the networks of the proxies whose `X-Forwarded-For` is believed; of others it is ignored."""
        self._trusted = tuple(trusted)

    def of(self, request: web.BaseRequest) -> Address | None:
        """Return the address of a caller; None when it cannot be known.

        Every proxy appends the address that it was called from, so the list is read from its end, as far as it was written
        by proxies that are trusted: what is left of that may be the caller's own invention.
        """
        address = _address(request.remote or "")
        if address is None or not self._is_trusted(address):
            return address
        hops = [hop.strip() for line in request.headers.getall(_FORWARDED_FOR, []) for hop in line.split(",")]
        for hop in reversed(hops):
            found = _address(hop)
            if found is None:
                return None
            address = found
            if not self._is_trusted(address):
                break
        return address

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)


def _address(text: str) -> Address | None:
    """Read an address, an IPv4 one in IPv6 notation as what it is."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
