"""Guardrails and limits of keys hold for operations as they do for completions."""

from __future__ import annotations

from typing import Any

import pytest

from edge.testing.stack import EdgeStack
from edge.testing.waiting import eventually
from turnpike.accounts.v1 import guardrail_pb2, records_pb2

REDACT, BLOCK = guardrail_pb2.FILTER_ACTION_REDACT, guardrail_pb2.FILTER_ACTION_BLOCK
SECRET = "me@corp.example"
WITH_THE_SECRET: dict[str, dict[str, Any]] = {
    "/embeddings": {"input": ["fine", SECRET]},
    "/rerank": {"query": "who?", "documents": ["fine", {"text": SECRET}]},
    "/audio/speech": {"input": SECRET, "voice": "alloy"},
    "/images": {"prompt": f"A letter to {SECRET}"},
}


async def bound(edge: EdgeStack, policy: guardrail_pb2.GuardrailPolicy) -> str:
    """A key that a guardrail binds, and which may use one model at one provider."""
    secret, record = edge.around.accounts.add_key(edge.org.org_id)
    guardrail = edge.around.guardrails.add(edge.org.org_id, policy)
    record.guardrail_id = guardrail.guardrail_id
    record.allowed_models[:] = ["acme/one"]
    await edge.publisher.publish(guardrail, record)

    async def known() -> bool:
        return (await edge.chat(key=secret)).status == 200

    await eventually(known)
    return secret


def filtering(action: guardrail_pb2.FilterAction.ValueType) -> guardrail_pb2.GuardrailPolicy:
    return guardrail_pb2.GuardrailPolicy(
        content_filter_builtins=[guardrail_pb2.BuiltinFilter(slug="email", action=action)],
        allowed_providers=records_pb2.TextList(values=["acme"]),
    )


@pytest.mark.parametrize("path", list(WITH_THE_SECRET))
async def test_what_is_redacted_does_not_go_upstream(edge: EdgeStack, path: str) -> None:
    key = await bound(edge, filtering(REDACT))
    answer = await edge.call("POST", path, {"model": "acme/one", **WITH_THE_SECRET[path]}, key=key)
    assert answer.status == 200
    sent = edge.around.router.invocations[-1].request_json
    assert SECRET.encode() not in sent
    assert b"[EMAIL]" in sent


@pytest.mark.parametrize("path", list(WITH_THE_SECRET))
async def test_what_is_blocked_is_403_and_reaches_nobody(edge: EdgeStack, path: str) -> None:
    key = await bound(edge, filtering(BLOCK))
    answer = await edge.call("POST", path, {"model": "acme/one", **WITH_THE_SECRET[path]}, key=key)
    assert answer.status == 403
    assert SECRET.encode() not in answer.body
    assert edge.around.router.invocations == []


async def test_what_a_key_may_use_travels_to_the_router(edge: EdgeStack) -> None:
    key = await bound(edge, filtering(REDACT))
    spoken = {"input_audio": {"data": "UklGRi4uLi5XQVZF", "format": "wav"}}
    for path, members in {**WITH_THE_SECRET, "/audio/transcriptions": spoken}.items():
        assert (await edge.call("POST", path, {"model": "acme/one", **members}, key=key)).status == 200
        policy = edge.around.router.invocations[-1].caller.policy
        assert [list(each.names) for each in policy.allowed_models] == [["acme/one"]]
        assert [list(each.names) for each in policy.allowed_providers] == [["acme"]]
