"""Guardrails and rate limits at the public port: published by accounts, kept by the edge."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from contracts.spend import PeriodSpend, Spend, spend_to_proto
from edge.settings import LimitSettings
from edge.testing.accounts import USD
from edge.testing.router import Message, completed, explained, piece, scripted
from edge.testing.stack import EdgeStack, OpenEdge, chat_body
from edge.testing.waiting import eventually
from turnpike.accounts.v1 import guardrail_pb2, records_pb2

REDACT, BLOCK, FLAG = (
    guardrail_pb2.FILTER_ACTION_REDACT,
    guardrail_pb2.FILTER_ACTION_BLOCK,
    guardrail_pb2.FILTER_ACTION_FLAG,
)


def policy(**members: Any) -> guardrail_pb2.GuardrailPolicy:
    lists = {"allowed_models", "ignored_models", "allowed_providers", "ignored_providers"}
    ready: dict[str, Any] = {
        name: records_pb2.TextList(values=value) if name in lists else value for name, value in members.items()
    }
    return guardrail_pb2.GuardrailPolicy(**ready)


def builtin(slug: str, action: guardrail_pb2.FilterAction.ValueType) -> guardrail_pb2.BuiltinFilter:
    return guardrail_pb2.BuiltinFilter(slug=slug, action=action)


async def bound_key(
    edge: EdgeStack, own: guardrail_pb2.GuardrailPolicy, **others: guardrail_pb2.GuardrailPolicy
) -> str:
    """A key that a guardrail binds, and perhaps its maker's and its workspace's."""
    guardrails = edge.around.guardrails
    secret, record = edge.around.accounts.add_key(edge.org.org_id)
    record.creator_user_id = "user-1"
    made = [guardrails.add(edge.org.org_id, own)]
    record.guardrail_id = made[0].guardrail_id
    if "member" in others:
        made.append(guardrails.add(edge.org.org_id, others["member"]))
        record.member_guardrail_id = made[1].guardrail_id
    if "workspace" in others:
        made.append(guardrails.add(edge.org.org_id, others["workspace"], is_default=True))
    await edge.publisher.publish(*made, record)

    async def known() -> bool:
        # Until the guardrails are known nothing is served, which is the point of a test of its own.
        return (await edge.chat(key=secret)).status == 200

    await eventually(known)
    return secret


def sent(edge: EdgeStack) -> Any:
    return json.loads(edge.around.router.requests[-1].request_json)


async def test_redaction_changes_what_goes_upstream_and_nothing_else(edge: EdgeStack) -> None:
    key = await bound_key(edge, policy(content_filter_builtins=[builtin("email", REDACT)]))
    messages = [
        {"role": "system", "content": "Be nice to boss@corp.example"},
        {"role": "user", "content": [{"type": "text", "text": "I am me@corp.example"}, image()]},
    ]
    assert (await edge.chat(key=key, messages=messages, seed=7)).status == 200
    body = sent(edge)
    assert body["messages"][0]["content"] == "Be nice to [EMAIL]"
    assert body["messages"][1]["content"] == [{"type": "text", "text": "I am [EMAIL]"}, image()]
    assert body["seed"] == 7


async def test_what_is_blocked_is_403_with_the_patterns_and_reaches_nobody(edge: EdgeStack) -> None:
    custom = guardrail_pb2.ContentFilter(pattern="hunter[0-9]", label="PASSWORD", action=BLOCK)
    key = await bound_key(
        edge, policy(content_filters=[custom]), workspace=policy(content_filter_builtins=[builtin("ssn", BLOCK)])
    )
    messages = [{"role": "user", "content": "hunter2, 219-09-9999"}]

    async def both_look() -> bool:
        answer = await edge.chat(key=key, messages=messages)
        return answer.status == 403 and set(answer.error["metadata"]["patterns"]) == {"PASSWORD", "ssn"}

    await eventually(both_look)
    before = len(edge.around.router.requests)
    answer = await edge.chat(key=key, messages=messages)
    assert b"hunter2" not in answer.body
    assert b"219-09" not in answer.body
    assert len(edge.around.router.requests) == before


async def test_what_is_flagged_is_in_the_pipeline_for_callers_who_ask(edge: EdgeStack) -> None:
    key = await bound_key(edge, policy(content_filter_builtins=[builtin("email", FLAG)]))
    body = chat_body(messages=[{"role": "user", "content": "me@corp.example"}])
    headers = {"X-OpenRouter-Metadata": "enabled"}
    edge.around.router.script = scripted(
        Message(route=explained(), deltas=[piece("Hi", finish_reason="stop")], outcome=completed())
    )
    answer = await edge.call("POST", "/chat/completions", body, key=key, headers=headers)
    assert sent(edge)["messages"][0]["content"] == "me@corp.example"
    (stage,) = answer.document["openrouter_metadata"]["pipeline"]
    assert (stage["type"], stage["name"], stage["guardrail_scope"]) == ("guardrail", "content-filter", "api_key")
    assert stage["data"] == {"action": "flag", "matches": {"email": 1}}
    assert b"corp.example" not in answer.body


async def test_what_the_guardrails_and_the_key_allow_travels_to_the_router(edge: EdgeStack) -> None:
    secret, record = edge.around.accounts.add_key(edge.org.org_id)
    own = edge.around.guardrails.add(
        edge.org.org_id, policy(allowed_models=["acme/one"], ignored_providers=["b"], enforce_zdr_anthropic=True)
    )
    record.guardrail_id = own.guardrail_id
    record.allowed_models[:] = ["acme/one", "acme/two"]
    record.allowed_providers[:] = ["a"]
    await edge.publisher.publish(own, record)

    async def served() -> bool:
        return (await edge.chat(key=secret)).status == 200

    await eventually(served)
    caller = edge.around.router.requests[-1].caller
    assert [list(each.names) for each in caller.policy.allowed_models] == [["acme/one", "acme/two"], ["acme/one"]]
    assert [list(each.names) for each in caller.policy.allowed_providers] == [["a"]]
    assert (list(caller.policy.ignored_providers), list(caller.policy.zero_retention_groups)) == (["b"], ["anthropic"])
    assert (await edge.chat()).status == 200
    assert not edge.around.router.requests[-1].caller.HasField("policy")


def spent(daily: int) -> records_pb2.Spend:
    return spend_to_proto(Spend(datetime.now(UTC).date(), PeriodSpend(daily, daily, daily, daily)))


@pytest.mark.parametrize(
    ("own", "creator", "status"), [(0, 0, 200), (USD, USD, 403), (0, USD, 403), (USD - 1, USD - 1, 200)]
)
async def test_budgets_of_a_workspace_count_for_each_key_and_for_each_member(
    own: int, creator: int, status: int, edge: EdgeStack
) -> None:
    budget = policy(limit_nano_usd=USD, reset_interval=records_pb2.SPEND_INTERVAL_DAILY)
    guardrail = edge.around.guardrails.add(edge.org.org_id, budget, is_default=True, name="Everybody")
    secret, record = edge.around.accounts.add_key(edge.org.org_id)
    record.creator_user_id = "user-1"
    record.spend.CopyFrom(spent(own))
    record.creator_spend.CopyFrom(spent(creator))
    await edge.publisher.publish(guardrail, record)

    async def decided() -> bool:
        return (await edge.chat(key=secret)).status == status

    await eventually(decided)
    if status == 403:
        answer = await edge.chat(key=secret)
        assert answer.error["metadata"]["error_type"] == "permission_denied"
        assert "daily budget of $1" in answer.error["message"]
        assert "Everybody" in answer.error["message"]


async def test_a_guardrail_that_is_not_known_serves_nobody_and_a_deleted_one_binds_nobody(edge: EdgeStack) -> None:
    secret, record = edge.around.accounts.add_key(edge.org.org_id)
    guardrail = edge.around.guardrails.add(edge.org.org_id, policy())
    record.guardrail_id = guardrail.guardrail_id
    await edge.publisher.publish(record)
    assert (await edge.chat(key=secret)).status == 503
    await edge.publisher.send(("turnpike.guardrails.v1", guardrail.guardrail_id, None))

    async def free() -> bool:
        return (await edge.chat(key=secret)).status == 200

    await eventually(free)
    # A key may be here before its guardrail, which is then waited for.
    late, record = edge.around.accounts.add_key(edge.org.org_id)
    guardrail = edge.around.guardrails.add(edge.org.org_id, policy())
    record.guardrail_id = guardrail.guardrail_id
    await edge.publisher.publish(record)
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(edge.chat(key=late))
        await edge.publisher.publish(guardrail)
    assert asked.result().status == 200


async def test_s38_a_keys_rate_limit_is_a_429_that_says_when_there_is_more(edge: EdgeStack) -> None:
    secret, record = edge.around.accounts.add_key(edge.org.org_id)
    record.rate_limits.add(
        quantity=records_pb2.LIMITED_QUANTITY_REQUESTS, interval=records_pb2.RATE_INTERVAL_DAY, amount=2
    )
    await edge.publisher.publish(record)
    first = [await edge.chat(key=secret) for _ in range(2)]
    assert [answer.status for answer in first] == [200, 200]
    assert not any(name.lower().startswith("x-ratelimit") for name in first[0].headers)
    refused = await edge.chat(key=secret)
    assert refused.status == 429
    assert refused.error["metadata"]["error_type"] == "rate_limit_exceeded"
    assert "2 requests per day" in refused.error["message"]
    assert (refused.headers["X-RateLimit-Limit"], refused.headers["X-RateLimit-Remaining"]) == ("2", "0")
    assert int(refused.headers["X-RateLimit-Reset"]) % 86_400_000 == 0
    assert 0 < int(refused.headers["Retry-After"]) <= 86_400
    assert (await edge.chat()).status == 200


async def test_s38_tokens_that_were_not_used_are_given_back(edge: EdgeStack) -> None:
    secret, record = edge.around.accounts.add_key(edge.org.org_id)
    record.rate_limits.add(
        quantity=records_pb2.LIMITED_QUANTITY_TOKENS, interval=records_pb2.RATE_INTERVAL_DAY, amount=5_000
    )
    await edge.publisher.publish(record)
    # Each could use 4,000, and uses a few: together they fit one after the other.
    answers = [await edge.chat(key=secret, max_tokens=4_000) for _ in range(3)]
    assert [answer.status for answer in answers] == [200] * 3


async def test_while_accounts_lends_nothing_each_of_several_edges_keeps_its_part_of_a_limit(
    open_edge: OpenEdge,
) -> None:
    edge = await open_edge(limits=LimitSettings(edges=2))
    secret, record = edge.around.accounts.add_key(edge.org.org_id)
    record.rate_limits.add(
        quantity=records_pb2.LIMITED_QUANTITY_REQUESTS, interval=records_pb2.RATE_INTERVAL_DAY, amount=4
    )
    await edge.publisher.publish(record)
    # Credit is lent already, and lasts.
    assert (await edge.chat()).status == 200
    edge.around.leases.down = True
    answers = [await edge.chat(key=secret) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert (answers[2].headers["X-RateLimit-Limit"], answers[2].headers["X-RateLimit-Remaining"]) == ("4", "0")
    edge.around.leases.down = False

    async def lent() -> bool:
        """Once accounts is back it lends the rest of the window."""
        return (await edge.chat(key=secret)).status == 200

    await eventually(lent)


def image() -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
