"""Parts are down for a while: callers with a known key do not notice, and the books are complete afterwards."""

from __future__ import annotations

from random import SystemRandom

import aiohttp
import pytest

from contracts import api_keys
from e2e_support.books import Books
from e2e_support.stack import Stack, wait_until_async
from e2e_support.tenants import Call

MODEL = "sim/echo"


async def complete(http: aiohttp.ClientSession, stack: Stack) -> str:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 8}
    async with http.post(f"{stack.base_url}/chat/completions", json=body) as answer:
        assert answer.status == 200, await answer.text()
        return str((await answer.json())["id"])


@pytest.mark.timeout(240)
@pytest.mark.parametrize("part", ["broker", "postgres", "metering"])
async def test_completions_go_on_and_nothing_is_lost(
    part: str, stack: Stack, http: aiohttp.ClientSession, books: Books
) -> None:
    generations = {await complete(http, stack)}
    stack.control("stop", part)
    try:
        generations |= {await complete(http, stack) for _ in range(20)}
    finally:
        stack.control("start", part)
    generations |= {await complete(http, stack) for _ in range(5)}
    await books.check_complete(generations)


@pytest.mark.timeout(120)
async def test_unknown_key_while_accounts_is_down_is_503_and_a_known_one_works(
    stack: Stack, http: aiohttp.ClientSession, call: Call
) -> None:
    unknown = api_keys.generate(api_keys.ApiKeyKind.INFERENCE, SystemRandom())
    body = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 8}
    url = f"{stack.base_url}/chat/completions"
    limits = [{"quantity": "requests", "interval": "day", "amount": 3}]
    made = await call("POST", "/keys", {"name": "limited", "rate_limits": limits}, token=stack.run["management_key"])
    limited = made.document["key"]
    assert (await call("POST", "/chat/completions", body, token=limited)).status == 200
    stack.control("stop", "accounts")
    try:
        async with http.post(url, json=body, headers={"Authorization": f"Bearer {unknown}"}) as answer:
            assert answer.status == 503, await answer.text()
        await complete(http, stack)
        # Its rate limit holds too, as this edge's part of it, and nobody waits for who lends it.
        statuses = [(await call("POST", "/chat/completions", body, token=limited)).status for _ in range(3)]
        assert statuses == [200, 200, 429]
    finally:
        stack.control("start", "accounts")
        stack.wait_ready("accounts")
    found: list[int] = []

    async def decided() -> bool:
        # The edge's connection is a moment behind the readiness of accounts.
        async with http.post(url, json=body, headers={"Authorization": f"Bearer {unknown}"}) as answer:
            found.append(answer.status)
        return answer.status != 503

    await wait_until_async(decided, "nobody says anything of an unknown key")
    assert found[-1] == 401
    assert (await call("POST", "/chat/completions", body, token=limited)).status == 429, "what was used is made good"


@pytest.mark.timeout(120)
async def test_record_of_a_generation_while_metering_is_down_is_503(stack: Stack, http: aiohttp.ClientSession) -> None:
    generation_id = await complete(http, stack)
    stack.control("stop", "metering")
    try:
        async with http.get(f"{stack.base_url}/generation", params={"id": generation_id}) as answer:
            assert answer.status == 503, await answer.text()
    finally:
        stack.control("start", "metering")
        stack.wait_ready("metering")
        stack.wait_reading()
    async with http.get(f"{stack.base_url}/generation", params={"id": generation_id}) as answer:
        assert answer.status == 200, await answer.text()
