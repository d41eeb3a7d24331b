"""Where a request comes from: the other end of the socket, or what a proxy that is trusted says of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address
from typing import Final

from aiohttp import web

from edge.domain.principal import Address, Network

_FORWARDED_FOR: Final = "X-Forwarded-For"
_COUNTRY: Final = re.compile(r"[A-Z]{2}", re.ASCII)
# ISO 3166-1 leaves these to its users: proxies say them of addresses that are in no country they know.
_NO_COUNTRY: Final = frozenset({"XX", "ZZ"})


class ClientAddresses:
    """Finds the address of callers, and the country it is in."""

    def __init__(self, trusted: Sequence[Network], country_header: str = "") -> None:
        """Take what is believed.

        Args:
            trusted: networks of the proxies whose headers are believed; those of others are ignored.
            country_header: in which they name the country; empty when they do not.
        """
        self._trusted = tuple(trusted)
        self._country_header = country_header

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

    def country_of(self, request: web.BaseRequest) -> str:
        """Return the country that a call comes from, two capital letters; empty when no proxy that is trusted says it.

        A header that is there more than once is not believed: the proxy adds to what callers send instead of replacing it.
        """
        if not self._country_header:
            return ""
        remote = _address(request.remote or "")
        said = request.headers.getall(self._country_header, [])
        if remote is None or not self._is_trusted(remote) or len(said) != 1:
            return ""
        country = said[0].strip().upper()
        return country if _COUNTRY.fullmatch(country) and country not in _NO_COUNTRY else ""

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
