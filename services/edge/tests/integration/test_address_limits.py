"""Limits by the address of callers, through the public port."""

from __future__ import annotations

from ipaddress import ip_address
from random import Random

import pytest

from contracts import api_keys
from contracts.api_keys import ApiKeyKind
from edge.domain.address_limits import AddressLimits
from edge.domain.errors import RateLimitError
from edge.domain.rate_limits import RateLimits
from edge.settings import LimitSettings
from edge.testing.stack import OpenEdge

NOW_MS = 1_790_000_000_000


def unknown_key() -> str:
    return api_keys.generate(ApiKeyKind.INFERENCE, Random())


async def test_s07_after_many_failures_from_an_address_nobody_is_asked_and_good_keys_still_work(
    open_edge: OpenEdge,
) -> None:
    edge = await open_edge(limits=LimitSettings(address_failures=3))
    statuses = [(await edge.call("GET", "/key", key=unknown_key())).status for _ in range(3)]
    assert (statuses, len(edge.around.accounts.asked)) == ([401] * 3, 3)
    refused = await edge.call("GET", "/key", key=unknown_key())
    assert (refused.status, len(edge.around.accounts.asked)) == (429, 3)
    assert int(refused.headers["Retry-After"]) >= 1
    assert (await edge.call("GET", "/key", key="malformed")).status == 429
    assert (await edge.chat()).status == 200


async def test_s38_an_address_may_send_so_many_requests_a_minute(open_edge: OpenEdge) -> None:
    edge = await open_edge(limits=LimitSettings(address_requests=2))
    answers = [await edge.call("GET", "/key") for _ in range(4)]
    assert [answer.status for answer in answers].count(429) in {1, 2}
    assert "this address" in answers[-1].error["message"] or answers[-1].status == 200
    # What is for everybody is not counted.
    assert (await edge.call("GET", "/models", key="")).status == 200


def test_addresses_of_one_ipv6_network_count_as_one() -> None:
    limits = AddressLimits(RateLimits(), requests=2, failures=0)
    for host in ("2001:db8::1", "2001:db8::ffff"):
        limits.count(ip_address(host), NOW_MS)
    with pytest.raises(RateLimitError):
        limits.count(ip_address("2001:db8:0:0:1::"), NOW_MS)
    limits.count(ip_address("2001:db8:0:1::"), NOW_MS)
    limits.count(ip_address("192.0.2.1"), NOW_MS)
    limits.count(None, NOW_MS)
    assert not limits.has_failed_enough(ip_address("192.0.2.1"), NOW_MS)
