"""Usage goes from a completion to its owner's webhook, through the whole system: route, seal, sender, signature, report."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
from aiohttp import web
from standardwebhooks import Webhook

from e2e_support.stack import Stack, wait_until_async

SAID = "a canary that is said 0123456789"
BODY = {
    "model": "sim/echo",
    "messages": [{"role": "user", "content": SAID}],
    "max_tokens": 8,
    "provider": {"only": ["sim"]},
    "user": "end-user-7",
}


async def test_a_completion_reaches_the_webhook_of_its_owner(stack: Stack) -> None:
    received: list[tuple[dict[str, str], bytes]] = []

    async def hook(request: web.Request) -> web.Response:
        received.append((dict(request.headers), await request.read()))
        # The first attempt of all fails.
        return web.Response(status=503 if len(received) == 1 else 204)

    app = web.Application()
    app.router.add_post("/usage", hook)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/usage"
    management = {"Authorization": f"Bearer {stack.run['management_key']}"}
    destinations = f"{stack.base_url}/observability/destinations"
    async with aiohttp.ClientSession() as http:
        new = {
            "type": "webhook",
            "name": "end to end",
            "config": {"url": url, "headers": {"X-Token": "t-0123456789abcdef"}},
            "broadcast_generation_cost": True,
        }
        async with http.post(destinations, json=new, headers=management) as answer:
            made = (await answer.json())["data"]
            assert answer.status == 201, made
        try:
            inference = {"Authorization": f"Bearer {stack.api_key}"}
            async with http.post(f"{stack.base_url}/chat/completions", json=BODY, headers=inference) as answer:
                completion = await answer.json()
                assert answer.status == 200, completion

            def spans() -> list[dict[str, Any]]:
                return [
                    each
                    for _, body in received[1:]
                    for each in _spans(body)
                    if each["gen_ai.response.id"] == completion["id"]
                ]

            async def arrived() -> bool:
                return bool(spans())

            await wait_until_async(arrived, "the webhook has not got the generation")
            headers, body = received[-1]
            Webhook(made["config"]["signingSecret"]).verify(body, headers)
            assert headers["X-Token"] == "t-0123456789abcdef"
            (span, *_) = spans()
            assert span["user.id"] == "end-user-7"
            assert int(span["gen_ai.usage.input_tokens"]) == completion["usage"]["prompt_tokens"]
            assert float(span["turnpike.cost.usd"]) == completion["usage"]["cost"]
            assert SAID not in body.decode()
            shown: dict[str, Any] = {}

            async def reported() -> bool:
                async with http.get(f"{destinations}/{made['id']}/deliveries", headers=management) as answer:
                    shown.update((await answer.json())["data"])
                return bool(shown["delivered"] >= 1 and shown["waiting"] == 0)

            await wait_until_async(reported, "accounts was not told of the delivery")
            assert (shown["failures"], shown["failing_since"], shown["stopped_at"]) == (1, None, None)
            async with http.get(f"{destinations}/{made['id']}", headers=management) as answer:
                masked = (await answer.json())["data"]["config"]
            assert masked["signingSecret"] != made["config"]["signingSecret"]
            assert masked["headers"] == {"X-Token": "t-01...cdef"}
        finally:
            async with http.delete(f"{destinations}/{made['id']}", headers=management) as answer:
                assert await answer.json() == {"deleted": True}
            await runner.cleanup()


def _spans(body: bytes) -> list[dict[str, Any]]:
    found = []
    for span in json.loads(body)["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        found.append({each["key"]: next(iter(each["value"].values())) for each in span["attributes"]})
    return found
