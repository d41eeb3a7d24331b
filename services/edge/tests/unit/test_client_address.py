"""Where a call comes from, as proxies say it."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from edge.api.http.client_address import ClientAddresses

ADDRESSES = ClientAddresses([ip_network("10.0.0.0/8")], "CF-IPCountry")


def country(*values: str, remote: str = "10.1.2.3", name: str = "cf-ipcountry", of: ClientAddresses = ADDRESSES) -> str:
    headers = CIMultiDict([(name, value) for value in values])
    return of.country_of(make_mocked_request("GET", "/", headers).clone(remote=remote))


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (["CH"], "CH"),
        ([" ch "], "CH"),
        ([], ""),
        ([""], ""),
        (["XX"], ""),
        (["T1"], ""),
        (["CHE"], ""),
        (["\u00c4\u00c4"], ""),
        (["CH", "DE"], ""),
        (["CH, DE"], ""),
    ],
)
def test_a_country_is_one_code_of_two_letters(values: list[str], found: str) -> None:
    assert country(*values) == found


def test_s11_a_country_is_believed_of_a_trusted_proxy_in_the_header_that_was_named() -> None:
    assert country("CH", remote="::ffff:10.1.2.3") == "CH"
    assert not country("CH", remote="203.0.113.9")
    assert not country("CH", remote="")
    assert not country("CH", name="X-Country")
    assert not country("CH", of=ClientAddresses([ip_network("10.0.0.0/8")]))
