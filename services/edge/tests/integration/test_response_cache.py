"""Kept answers through the real HTTP port."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contracts.errors import ErrorReason
from edge.domain.cache_wish import CacheWish
from edge.domain.errors import RefusedError
from edge.response_cache import ResponseCache
from edge.settings import CacheSettings
from edge.testing.router import break_off, completed, refuse, speak
from edge.testing.stack import Answer, EdgeStack, OpenEdge, chat_body
from edge.testing.waiting import eventually
from servicekit.testing import ManualClock, RecordingTelemetry
from turnpike.accounts.v1 import guardrail_pb2
from turnpike.router.v1 import router_service_pb2

ON = {"X-OpenRouter-Cache": "true"}
BODIES: dict[str, dict[str, Any]] = {
    "/chat/completions": chat_body(),
    "/messages": {"model": "acme/one", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]},
    "/responses": {"model": "acme/one", "input": "Hi"},
}


def status_of(answer: Answer) -> str | None:
    return answer.headers.get("X-OpenRouter-Cache-Status")


async def ask(edge: EdgeStack, path: str = "/chat/completions", key: str | None = None, **members: Any) -> Answer:
    headers = members.pop("headers", ON)
    return await edge.call("POST", path, BODIES[path] | members, headers=headers, key=key)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("path", BODIES)
async def test_the_same_request_is_answered_from_what_was_kept(edge: EdgeStack, path: str, stream: bool) -> None:
    first = await ask(edge, path, stream=stream)
    second = await ask(edge, path, stream=stream)
    assert (first.status, second.status) == (200, 200)
    assert (status_of(first), status_of(second)) == ("MISS", "HIT")
    assert len(edge.around.router.requests) == 1
    assert second.headers["X-OpenRouter-Cache-Source-Id"] == first.headers["X-Generation-Id"]
    assert second.headers["X-Generation-Id"] != first.headers["X-Generation-Id"]
    assert int(second.headers["X-OpenRouter-Cache-Age"]) >= 0
    assert second.headers["X-OpenRouter-Cache-TTL"] == first.headers["X-OpenRouter-Cache-TTL"] == "300"
    assert second.headers["X-Provider-Name"] == "Acme"
    # Hello world, whatever the dialect makes of it; and nothing that it cost.
    for word in ("Hello", "world"):
        assert word in first.body.decode()
        assert word in second.body.decode()


async def test_a_hit_has_an_id_of_its_own_and_uses_and_costs_nothing(edge: EdgeStack) -> None:
    await ask(edge)
    hit = (await ask(edge)).document
    assert hit["choices"][0]["message"]["content"] == "Hello world"
    usage = hit["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["cost"]) == (0, 0, 0)


async def test_b_a_hit_needs_no_credit_and_takes_none(edge: EdgeStack) -> None:
    org = edge.around.accounts.add_org()
    key, record = edge.around.accounts.add_key(org.org_id)
    await edge.publisher.publish(org, record)
    assert status_of(await ask(edge, key=key)) == "MISS"
    org.balance_nano_usd, org.revision = 0, org.revision + 1
    edge.around.router.script = refuse(RefusedError(ErrorReason.INTERNAL, "not asked"))
    assert status_of(await ask(edge, key=key)) == "HIT"


async def test_without_the_header_nothing_is_kept_and_nothing_is_found(edge: EdgeStack) -> None:
    for _ in range(2):
        assert status_of(await ask(edge, headers={})) is None
    assert status_of(await ask(edge)) == "MISS"
    assert status_of(await ask(edge, headers={"X-OpenRouter-Cache": "false"})) is None
    assert len(edge.around.router.requests) == 4


@pytest.mark.parametrize(
    "other",
    [{"temperature": 0.5}, {"stream": True}, {"model": "acme/one:nitro"}],
    ids=lambda other: next(iter(other)),
)
async def test_another_request_is_another_answer(edge: EdgeStack, other: dict[str, Any]) -> None:
    await ask(edge)
    assert status_of(await ask(edge, **other)) == "MISS"


async def test_space_is_no_difference_and_headers_are_none_but_the_order_of_members_is(edge: EdgeStack) -> None:
    body = json.dumps(chat_body(temperature=1))
    spaced = json.dumps(chat_body(temperature=1), indent=3)
    turned = json.dumps(dict(reversed(chat_body(temperature=1).items())))
    statuses = []
    for text, headers in ((body, ON), (spaced, {**ON, "X-Title": "Another app", "x-session-id": "s"}), (turned, ON)):
        statuses.append(status_of(await edge.call("POST", "/chat/completions", text.encode(), headers=headers)))
    assert statuses == ["MISS", "HIT", "MISS"]


async def test_s04_an_answer_is_for_its_key_alone(edge: EdgeStack) -> None:
    await ask(edge)
    key, record = edge.around.accounts.add_key(edge.org.org_id)
    await edge.publisher.publish(record)
    assert status_of(await ask(edge, key=key)) == "MISS"


async def test_a_request_that_must_stay_in_a_region_gets_no_answer_from_outside(edge: EdgeStack) -> None:
    await ask(edge)
    assert status_of(await ask(edge, headers={**ON, "Host": "eu.example"})) == "MISS"


async def test_failures_and_broken_answers_are_not_kept(edge: EdgeStack) -> None:
    edge.around.router.script = refuse(RefusedError(ErrorReason.PROVIDER_UNAVAILABLE, "down"))
    assert (await ask(edge)).status == 502
    edge.around.router.script = break_off(None, "Hel")
    await ask(edge, stream=True)
    edge.around.router.script = speak("Hello")
    assert status_of(await ask(edge)) == "MISS"
    assert status_of(await ask(edge, stream=True)) == "MISS"
    assert status_of(await ask(edge)) == "HIT"


async def test_clear_throws_one_answer_away(edge: EdgeStack) -> None:
    await ask(edge)
    await ask(edge, temperature=0.5)
    assert status_of(await ask(edge, headers={**ON, "X-OpenRouter-Cache-Clear": "true"})) == "MISS"
    assert status_of(await ask(edge)) == "HIT"
    assert status_of(await ask(edge, temperature=0.5)) == "HIT"
    assert len(edge.around.router.requests) == 3


async def test_a_preset_may_switch_it_on_and_is_final_when_it_switches_it_off(edge: EdgeStack) -> None:
    for slug, members in (("on", {"cache_enabled": True, "cache_ttl_seconds": 7}), ("off", {"cache_enabled": False})):
        await edge.call("POST", f"/presets/{slug}/chat/completions", {"model": "acme/one", **members})
    first, second = [await ask(edge, headers={}, model="@preset/on") for _ in range(2)]
    assert (status_of(first), status_of(second)) == ("MISS", "HIT")
    assert second.headers["X-OpenRouter-Cache-TTL"] == "7"
    assert status_of(await ask(edge, model="@preset/off")) is None
    sent = json.loads(edge.around.router.requests[0].request_json)
    assert not [name for name in sent if name.startswith("cache_")]


async def test_a_cache_of_no_bytes_keeps_nothing(open_edge: OpenEdge) -> None:
    edge = await open_edge(cache=CacheSettings(bytes=0))
    assert [status_of(await ask(edge)) for _ in range(2)] == ["MISS", "MISS"]


def test_what_is_kept_is_bounded_in_bytes_and_in_time() -> None:
    clock, wish = ManualClock(), CacheWish(10, False)
    cache = ResponseCache(clock, RecordingTelemetry().meter, 3_000)
    message = router_service_pb2.CompleteResponse(outcome=completed())
    for key in (b"a", b"b", b"c"):
        cache.keep(key, "gen", [message], 10, 1_200)
    assert [cache.find(key, wish) is not None for key in (b"a", b"b", b"c")] == [False, True, True]
    cache.keep(b"d", "gen", [message], 10, 9_000)
    assert cache.find(b"d", wish) is None
    kept = cache.find(b"c", wish)
    assert kept is not None
    assert cache.age_s(kept) == 0


async def test_an_answer_is_forgotten_when_its_time_is_over() -> None:
    clock, wish = ManualClock(), CacheWish(10, False)
    cache = ResponseCache(clock, RecordingTelemetry().meter, 3_000)
    cache.keep(b"a", "gen", [], 10, 100)
    await clock.advance(9)
    assert cache.find(b"a", wish) is not None
    await clock.advance(1)
    assert cache.find(b"a", wish) is None


async def test_what_the_guardrails_leave_is_asked_for_and_kept_and_the_session_of_the_header_goes_along(
    edge: EdgeStack,
) -> None:
    redact = guardrail_pb2.BuiltinFilter(slug="email", action=guardrail_pb2.FILTER_ACTION_REDACT)
    guardrail = edge.around.guardrails.add(
        edge.org.org_id, guardrail_pb2.GuardrailPolicy(content_filter_builtins=[redact])
    )
    key, record = edge.around.accounts.add_key(edge.org.org_id)
    record.guardrail_id = guardrail.guardrail_id
    await edge.publisher.publish(guardrail, record)
    messages = [{"role": "user", "content": "Write to ada@example.com"}]

    async def is_bound() -> bool:
        return (await ask(edge, headers={}, key=key, messages=messages)).status == 200

    await eventually(is_bound)
    edge.around.router.requests.clear()
    headers = ON | {"x-session-id": "s-1"}
    answers = [await ask(edge, key=key, messages=messages, headers=headers) for _ in range(2)]
    assert [status_of(answer) for answer in answers] == ["MISS", "HIT"]
    (sent,) = edge.around.router.requests
    document = json.loads(sent.request_json)
    assert (document["messages"][0]["content"], document["session_id"]) == ("Write to [EMAIL]", "s-1")
