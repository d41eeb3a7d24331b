"""A customer's own provider key through the whole system: used for the call, not charged for. Where it must not be, test_canaries.py looks."""

from __future__ import annotations

import aiohttp

from e2e_support.stack import Stack, wait_until_async

OWN = "sk-of-the-customer-0123456789"
BODY = {
    "model": "sim/echo",
    "messages": [{"role": "user", "content": "hello"}],
    "max_tokens": 8,
    "provider": {"only": ["sim"]},
}


async def test_a_customers_key_is_used_and_costs_no_credit(stack: Stack) -> None:
    management = {"Authorization": f"Bearer {stack.run['management_key']}"}
    inference = {"Authorization": f"Bearer {stack.api_key}"}
    async with aiohttp.ClientSession() as http:
        new = {"provider": "sim", "key": OWN, "name": "end to end"}
        async with http.post(f"{stack.base_url}/byok", json=new, headers=management) as answer:
            stored = await answer.json()
            assert answer.status == 201, stored
        assert OWN not in str(stored)
        seen: dict[str, object] = {}

        async def used() -> bool:
            async with http.post(f"{stack.base_url}/chat/completions", json=BODY, headers=inference) as answer:
                document = await answer.json()
                assert answer.status == 200, document
            seen.update(document["usage"])
            return bool(seen["is_byok"])

        try:
            await wait_until_async(used, "the customer's key was not used")
        finally:
            async with http.delete(f"{stack.base_url}/byok/{stored['data']['id']}", headers=management) as answer:
                assert answer.status == 200, await answer.text()
    assert seen["cost"] == 0, "within the allowance there is no fee"


async def test_a_fallback_serves_after_shared_capacity_and_other_keys_before_it(stack: Stack) -> None:
    management = {"Authorization": f"Bearer {stack.run['management_key']}"}
    inference = {"Authorization": f"Bearer {stack.api_key}"}
    async with aiohttp.ClientSession() as http:

        async def is_byok() -> bool:
            async with http.post(f"{stack.base_url}/chat/completions", json=BODY, headers=inference) as answer:
                document = await answer.json()
                assert answer.status == 200, document
                return bool(document["usage"]["is_byok"])

        async def is_shared() -> bool:
            return not await is_byok()

        async def change(**members: object) -> None:
            async with http.patch(address, json=members, headers=management) as answer:
                assert answer.status == 200, await answer.text()

        new = {"provider": "sim", "key": OWN, "is_fallback": True}
        async with http.post(f"{stack.base_url}/byok", json=new, headers=management) as answer:
            stored = (await answer.json())["data"]
            assert (answer.status, stored["sort_order"]) == (201, 0)
        address = f"{stack.base_url}/byok/{stored['id']}"
        try:
            # A key that was deleted before is known to the edge for a moment still.
            await wait_until_async(is_shared, "a fallback comes before shared capacity")
            await change(is_fallback=False)
            await wait_until_async(is_byok, "the customer's key does not come before shared capacity")
            await change(is_fallback=True)
            await wait_until_async(is_shared, "the fallback does not come after shared capacity")
        finally:
            async with http.delete(address, headers=management) as answer:
                assert answer.status == 200, await answer.text()
