"""S15, S16: which addresses a client for strangers' addresses connects to."""

from __future__ import annotations

import ipaddress
import socket
from datetime import timedelta

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.test_utils import TestServer

from servicekit.public_http import PrivateAddressError, PublicResolver, check_literal, is_public, public_session

PRIVATE = [
    "127.0.0.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "198.18.0.1",
    "224.0.0.1", "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "ff02::1", "::ffff:127.0.0.1",
    "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::a00:1", "2002:7f00:1::", "2002:a00:1::",
    "::127.0.0.1", "2001:db8::1", "192.0.2.1",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::"]


class Names(AbstractResolver):
    """Knows names by their addresses."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=each, port=port, family=socket.AF_INET, proto=0, flags=0)
            for each in self.addresses
        ]

    async def close(self) -> None:
        """Nothing is held."""


@pytest.mark.parametrize("address", PRIVATE)
def test_s15_private_addresses_are_known_in_every_wrapping(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_s15_public_addresses_are_let_through(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


async def test_s15_a_name_with_one_private_address_is_refused() -> None:
    assert len(await PublicResolver(Names("8.8.8.8", "1.1.1.1")).resolve("a.example")) == 2
    with pytest.raises(PrivateAddressError, match=r"^a\.example is not at a public address$"):
        await PublicResolver(Names("8.8.8.8", "10.0.0.1")).resolve("a.example")


@pytest.mark.parametrize("url", ["https://127.0.0.1/", "https://[::1]:8080/x", "https://[::ffff:10.0.0.1]/"])
def test_s15_literals_are_looked_at_too(url: str) -> None:
    with pytest.raises(PrivateAddressError):
        check_literal(url)
    check_literal("https://example.com/")


@pytest.mark.parametrize("host", ["a.example", "2130706433", "0x7f.1", "localhost"])
async def test_s15_nothing_is_sent_to_a_private_address_whatever_its_spelling(host: str) -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    async with TestServer(app, host="127.0.0.1") as server:
        limit = timedelta(seconds=5)
        resolver = Names("127.0.0.1") if host == "a.example" else None
        async with public_session(private=False, resolver=resolver, timeout=limit, connections=2) as session:
            with pytest.raises((aiohttp.ClientError, OSError)):
                await session.get(f"http://{host}:{server.port}/never")
        async with public_session(private=True, resolver=Names("127.0.0.1"), timeout=limit, connections=2) as session:
            async with session.get(f"http://a.example:{server.port}/let") as response:
                assert response.status == 200
    assert asked == ["/let"]
