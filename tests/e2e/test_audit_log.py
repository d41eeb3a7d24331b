"""What the public API changes besides people and keys is in the audit log of the whole system, with who asked."""

from __future__ import annotations

import json
from typing import Any

import aiohttp

from e2e_support.stack import SMOLLM2, Stack

SECRET, INSTRUCTION = "sk-canary-of-the-audit-log-TAIL", "instruction canary of the audit log"
PRESET = {"model": SMOLLM2, "messages": [{"role": "system", "content": INSTRUCTION}]}


async def test_s45_guardrails_provider_keys_presets_and_top_ups_are_in_the_audit_log(stack: Stack) -> None:
    async with aiohttp.ClientSession() as http:

        async def call(method: str, path: str, body: Any = None, *, key: str = "") -> tuple[str, Any]:
            headers = {"Authorization": f"Bearer {key or stack.run['management_key']}"}
            async with http.request(method, stack.base_url + path, json=body, headers=headers) as answer:
                document = await answer.json()
                assert answer.status in {200, 201}, document
                return answer.headers["X-Request-Id"], document

        current = (await call("GET", "/keys"))[1]["data"][0]["hash"]
        asked: dict[str, str] = {}
        asked["guardrail.created"], made = await call("POST", "/guardrails", {"name": "g"})
        guardrail = f"/guardrails/{made['data']['id']}"
        asked["guardrail.changed"], _ = await call("PATCH", guardrail, {"name": "h"})
        named = {"key_hashes": [current]}
        asked["guardrail.assigned"], _ = await call("POST", f"{guardrail}/assignments/keys", named)
        asked["guardrail.unassigned"], _ = await call("POST", f"{guardrail}/assignments/keys/remove", named)
        asked["guardrail.deleted"], _ = await call("DELETE", guardrail)
        asked["byok_key.created"], stored = await call(
            "POST", "/byok", {"provider": "sim", "key": SECRET, "disabled": True}
        )
        provider_key = f"/byok/{stored['data']['id']}"
        asked["byok_key.changed"], _ = await call("PATCH", provider_key, {"name": "renamed"})
        asked["byok_key.deleted"], _ = await call("DELETE", provider_key)
        asked["preset.saved"], _ = await call("POST", "/presets/audit/chat/completions", PRESET, key=stack.api_key)
        asked["top_up.changed"], _ = await call("PUT", "/credits/top-up", {"notice_below": 5})
        listed: list[dict[str, Any]] = []
        while True:
            after = listed[-1]["sequence"] if listed else 0
            page = (await call("GET", f"/organization/audit?limit=100&after={after}"))[1]["data"]
            listed += page
            if len(page) < 100:
                break
        found = {entry["request_id"]: entry for entry in listed}
        for action, request_id in asked.items():
            entry = found[request_id]
            assert (entry["action"], entry["actor_kind"], entry["ip"]) == (action, "key", "127.0.0.1")
            assert entry["actor_id"]
        for canary in (SECRET, "TAIL", INSTRUCTION):
            assert canary not in json.dumps(listed)
        assert (await call("GET", "/organization/audit/verify"))[1]["data"]["intact"] is True
