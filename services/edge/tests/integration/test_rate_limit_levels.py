"""Limits of requests, tokens and spending by minute and day, at every level that has them, through the public port."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from edge.testing.router import Stall, model, speak
from edge.testing.stack import Answer, EdgeStack
from edge.testing.waiting import eventually
from turnpike.accounts.v1 import guardrail_pb2, records_pb2

LEVELS = {
    "organization": "this organization",
    "workspace": "this workspace",
    "key": "this API key",
    "guardrail of a key": "this API key",
    "guardrail of a member": "this member",
    "guardrail of a workspace": "this API key",
}
QUANTITIES = {
    "requests": records_pb2.LIMITED_QUANTITY_REQUESTS,
    "tokens": records_pb2.LIMITED_QUANTITY_TOKENS,
    "spend": records_pb2.LIMITED_QUANTITY_SPEND,
}
INTERVALS = {"minute": records_pb2.RATE_INTERVAL_MINUTE, "day": records_pb2.RATE_INTERVAL_DAY}
# Requests until one is refused: a minute may end between two of them.
_MOST = 4


async def limited(edge: EdgeStack, level: str, limit: records_pb2.RateLimit) -> tuple[str, records_pb2.OrgRecord]:
    """A key of an organisation of its own that a limit holds for at some level."""
    org = edge.around.accounts.add_org()
    secret, record = edge.around.accounts.add_key(org.org_id)
    record.creator_user_id = "user-1"
    published: list[Any] = [org, record]
    if level in {"organization", "workspace"}:
        workspace_id = org.org_id if level == "workspace" else ""
        org.rate_limits.add(workspace_id=workspace_id, limit=limit)
    elif level == "key":
        record.rate_limits.append(limit)
    else:
        policy = guardrail_pb2.GuardrailPolicy(rate_limits=[limit])
        made = edge.around.guardrails.add(org.org_id, policy, is_default=level == "guardrail of a workspace")
        published.insert(0, made)
        if level == "guardrail of a key":
            record.guardrail_id = made.guardrail_id
        elif level == "guardrail of a member":
            record.member_guardrail_id = made.guardrail_id
    await edge.publisher.publish(*published)
    return secret, org


async def refused(edge: EdgeStack, secret: str, **members: Any) -> Answer:
    """Ask until a limit refuses."""
    for _ in range(_MOST):
        answer = await edge.chat(key=secret, **members)
        if answer.status == 429:
            return answer
        # What binds the key may not be known yet, and then nothing is served.
        assert answer.status in {200, 503}
    raise AssertionError("no limit held")


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("interval", INTERVALS)
async def test_s38_every_level_has_limits_of_requests_tokens_and_spending_by_minute_and_day(
    level: str, quantity: str, interval: str, edge: EdgeStack
) -> None:
    limit = records_pb2.RateLimit(quantity=QUANTITIES[quantity], interval=INTERVALS[interval], amount=1)
    secret, _ = await limited(edge, level, limit)

    async def bound() -> bool:
        return (await edge.chat(key=secret)).status == 429

    await eventually(bound)
    answer = await refused(edge, secret)
    message = answer.error["message"]
    assert f"per {interval}" in message
    assert message.endswith(f"for {LEVELS[level]}")
    length = 60 if interval == "minute" else 86_400
    assert 0 < int(answer.headers["Retry-After"]) <= length
    assert (answer.headers["X-RateLimit-Limit"], answer.headers["X-RateLimit-Remaining"]) == ("1", "0")
    assert int(answer.headers["X-RateLimit-Reset"]) % (length * 1_000) == 0
    assert (await edge.chat()).status == 200, "nobody else is limited"


async def test_s38_a_limit_for_one_model_holds_for_that_model_only(edge: EdgeStack) -> None:
    limit = records_pb2.RateLimit(
        quantity=records_pb2.LIMITED_QUANTITY_REQUESTS,
        interval=records_pb2.RATE_INTERVAL_DAY,
        amount=1,
        model="acme/one",
    )
    edge.around.router.models.append(model("acme/two"))
    edge.around.router.version = "2"
    secret, _ = await limited(edge, "organization", limit)
    await edge.chat(key=secret)
    assert "with acme/one for this organization" in (await refused(edge, secret)).error["message"]

    async def other_serves() -> bool:
        return (await edge.chat(key=secret, model="acme/two")).status == 200

    await eventually(other_serves)


async def test_s38_an_organisations_keys_share_its_limit_and_another_workspace_does_not(edge: EdgeStack) -> None:
    limit = records_pb2.RateLimit(
        quantity=records_pb2.LIMITED_QUANTITY_REQUESTS, interval=records_pb2.RATE_INTERVAL_DAY, amount=2
    )
    secret, org = await limited(edge, "organization", limit)
    other, record = edge.around.accounts.add_key(org.org_id)
    await edge.publisher.publish(record)
    assert [(await edge.chat(key=key)).status for key in (secret, other, secret, other)] == [200, 200, 429, 429]
    secret, org = await limited(edge, "workspace", limit)
    other, record = edge.around.accounts.add_key(org.org_id)
    record.workspace_id = "another"
    await edge.publisher.publish(record)
    assert [(await edge.chat(key=key)).status for key in (secret, secret, secret, other)] == [200, 200, 429, 200]


async def test_s38_requests_of_an_organisation_at_the_same_time_are_bounded(edge: EdgeStack) -> None:
    limit = records_pb2.RateLimit(quantity=records_pb2.LIMITED_QUANTITY_CONCURRENCY, amount=1)
    secret, _ = await limited(edge, "organization", limit)
    stall = edge.around.router.script = Stall("Hi")
    async with asyncio.TaskGroup() as group:
        first = group.create_task(edge.chat(key=secret))
        await stall.began.wait()
        answer = await edge.chat(key=secret)
        stall.go_on.set()
    assert answer.status == 429
    assert "1 requests at the same time for this organization" in answer.error["message"]
    assert first.result().status == 200
    edge.around.router.script = speak("Hi")
    assert (await edge.chat(key=secret)).status == 200


async def test_rate_limits_of_an_organisation_are_set_as_a_whole_and_read(edge: EdgeStack) -> None:
    wanted = [
        {"quantity": "tokens", "interval": "minute", "amount": 5_000, "model": "acme/one", "workspace_id": None},
        {"quantity": "spend", "interval": "day", "amount": 0.25, "model": None, "workspace_id": edge.org.org_id},
        {"quantity": "concurrency", "interval": None, "amount": 7, "model": None, "workspace_id": None},
    ]
    changed = await edge.call("PUT", "/organization/rate-limits", {"rate_limits": wanted}, key=edge.management_key)
    assert (changed.status, changed.document["data"]) == (200, wanted)
    read = await edge.call("GET", "/organization/rate-limits", key=edge.management_key)
    assert (read.status, read.document["data"]) == (200, wanted)
    cleared = await edge.call("PUT", "/organization/rate-limits", {"rate_limits": []}, key=edge.management_key)
    assert (cleared.status, cleared.document["data"]) == (200, [])
    assert (await edge.call("PUT", "/organization/rate-limits", {"rate_limits": []})).status == 403


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "rate_limits"),
        ({"rate_limits": [{"quantity": "tokens", "amount": 1}]}, "rate_limits[0].interval"),
        ({"rate_limits": [{"quantity": "tokens", "interval": "day", "amount": 0}]}, "rate_limits[0].amount"),
        ({"rate_limits": [{"quantity": "tokens", "interval": "day", "amount": 1, "org_id": "x"}]}, "rate_limits[0].org_id"),
        ({"rate_limits": [{"quantity": "tokens", "interval": "day", "amount": 1, "workspace_id": 7}]},
         "rate_limits[0].workspace_id"),
    ],
)  # fmt: skip
async def test_bad_rate_limits_are_refused_by_name(body: dict[str, Any], param: str, edge: EdgeStack) -> None:
    answer = await edge.call("PUT", "/organization/rate-limits", body, key=edge.management_key)
    assert (answer.status, answer.error["metadata"]["param"]) == (400, param)
