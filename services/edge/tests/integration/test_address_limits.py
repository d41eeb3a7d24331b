"""Limits by the address of callers, through the public port."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from random import Random

import pytest

from contracts import api_keys
from contracts.api_keys import ApiKeyKind
from edge.domain.address_limits import AddressLimits
from edge.domain.errors import RateLimitError
from edge.domain.rate_limits import RateLimits
from edge.settings import LimitSettings
from edge.testing.router import Stall
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


async def test_s38_requests_of_an_address_at_the_same_time_are_bounded_whoever_asks(open_edge: OpenEdge) -> None:
    edge = await open_edge(limits=LimitSettings(address_concurrency=1))
    stall = edge.around.router.script = Stall("Hi")
    async with asyncio.TaskGroup() as group:
        first = group.create_task(edge.chat())
        await stall.began.wait()
        # With a good key, with a bad one, and for what needs none.
        others = [
            await edge.call("GET", path, key=key) for path, key in (("/key", edge.key), ("/key", "x"), ("/models", ""))
        ]
        stall.go_on.set()
    assert [answer.status for answer in others] == [429] * 3
    for answer in others:
        assert "1 requests at the same time for this address" in answer.error["message"]
        assert answer.headers["Retry-After"] == "1"
    assert first.result().status == 200
    # A place is free before the end of an answer arrives, so that one request after the other is never refused.
    for streamed in (False, True) * 3:
        assert (await edge.call("GET", "/models", key="")).status == 200
        assert (await edge.chat(stream=streamed)).status == 200


async def test_s38_what_is_generated_for_an_address_is_bounded_over_all_its_keys(open_edge: OpenEdge) -> None:
    edge = await open_edge(limits=LimitSettings(address_tokens=1))
    other, record = edge.around.accounts.add_key(edge.around.accounts.add_org().org_id)
    await edge.publisher.publish(edge.around.accounts.orgs[record.org_id], record)
    # Of three in a row two are in one minute of the clock at least.
    answers = [await edge.chat(key=key) for key in (edge.key, other, edge.key)]
    assert answers[0].status == 200
    refused = next(answer for answer in answers if answer.status == 429)
    assert "1 tokens per minute for this address" in refused.error["message"]
    assert refused.headers["X-RateLimit-Limit"] == "1"
    embedding = {"model": "acme/one", "input": "hello"}
    answers = [await edge.call("POST", "/embeddings", embedding) for _ in range(3)]
    assert 429 in [answer.status for answer in answers]


def test_s38_a_place_is_given_back_once() -> None:
    limits = AddressLimits(RateLimits(), requests=0, failures=0, concurrency=1)
    address = ip_address("192.0.2.1")
    place = limits.enter(address, NOW_MS)
    with pytest.raises(RateLimitError):
        limits.enter(address, NOW_MS)
    assert limits.enter(ip_address("192.0.2.2"), NOW_MS) is not None
    assert place is not None
    place.close()
    place.close()
    assert limits.enter(address, NOW_MS) is not None
    with pytest.raises(RateLimitError):
        limits.enter(address, NOW_MS)
    assert limits.enter(None, NOW_MS) is None
