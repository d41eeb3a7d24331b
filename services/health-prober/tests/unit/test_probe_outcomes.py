from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from contracts.catalog import Dialect, Endpoint, Quirk, parse_catalog
from contracts.money import TokenCounts
from contracts.operations import Operation
from health_prober.domain.probe import (
    MAX_TOKENS,
    ProbeOutcome,
    ProbeResult,
    highest_cost,
    probe_cost,
    probe_request,
    read_outcome,
)

CATALOG = """\
providers:
  - {slug: acme, name: Acme, base_url: "http://127.0.0.1:9/v1"}
models:
  - id: maker/thing
    name: Thing
    description: A thing.
    created: 2026-01-01
    input_modalities: [text]
    output_modalities: [text]
    endpoints:
      - {provider: acme, upstream_model: thing, context_length: 2048, price: {prompt: "0.000001", completion: "0.000002", reasoning: "0.000003"}}
"""
ENDPOINT: Endpoint = next(iter(parse_catalog([("catalog.yaml", CATALOG)]).endpoints.values()))
USAGE = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}


def answer(
    content: str | None = "OK", finish_reason: str | None = "stop", usage: Any = USAGE, **message: object
) -> bytes:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": content} | message,
        "finish_reason": finish_reason,
    }
    return json.dumps({"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage}).encode()


NOTHING_COUNTED = {"prompt_tokens": 10, "completion_tokens": 0, "total_tokens": 10}
REASONED = USAGE | {"completion_tokens": 16, "completion_tokens_details": {"reasoning_tokens": 16}}


def test_the_request_is_small_and_always_limited() -> None:
    body = json.loads(probe_request(ENDPOINT).body)
    assert body["model"] == "thing"
    assert body["max_tokens"] == MAX_TOKENS == 16
    assert "stream" not in body
    assert len(body["messages"]) == 1


def test_the_limit_has_the_name_that_the_endpoint_takes() -> None:
    odd = dataclasses.replace(ENDPOINT, quirks=frozenset({Quirk.MAX_COMPLETION_TOKENS}))
    body = json.loads(probe_request(odd).body)
    assert body["max_completion_tokens"] == MAX_TOKENS
    assert "max_tokens" not in body


@pytest.mark.parametrize(
    "body",
    [
        answer(),
        answer(finish_reason="length"),
        answer(content="", finish_reason="length", usage=REASONED),
        answer(content=None, finish_reason="length", usage=None),
        answer(content=None, finish_reason="stop", usage=REASONED),
        answer(content="", reasoning_content="Hmm"),
        answer(usage=None),
    ],
)
def test_any_sign_that_the_model_ran_is_a_success(body: bytes) -> None:
    assert read_outcome(ENDPOINT, 200, body).result is ProbeResult.OK


THOUGHT_UP_TO_THE_LIMIT: dict[Dialect, dict[str, object]] = {
    Dialect.OPENAI_COMPATIBLE: {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 16, "completion_tokens_details": {"reasoning_tokens": 16}},
    },
    Dialect.AZURE_OPENAI: {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": None}, "finish_reason": "length"}],
    },
    Dialect.ANTHROPIC: {
        "type": "message",
        "role": "assistant",
        "content": [],
        "stop_reason": "max_tokens",
        "usage": {"input_tokens": 9, "output_tokens": 16},
    },
    Dialect.GEMINI: {
        "candidates": [{"content": {"role": "model"}, "finishReason": "MAX_TOKENS", "index": 0}],
        "usageMetadata": {"promptTokenCount": 9, "thoughtsTokenCount": 13, "totalTokenCount": 22},
    },
    Dialect.BEDROCK: {
        "output": {"message": {"role": "assistant", "content": []}},
        "stopReason": "max_tokens",
        "usage": {"inputTokens": 9, "outputTokens": 16, "totalTokens": 25},
    },
    Dialect.COHERE: {
        "finish_reason": "MAX_TOKENS",
        "message": {"role": "assistant", "content": []},
        "usage": {"tokens": {"input_tokens": 9, "output_tokens": 16}},
    },
    Dialect.OLLAMA: {
        "message": {"role": "assistant", "content": ""},
        "done": True,
        "done_reason": "length",
        "prompt_eval_count": 9,
        "eval_count": 16,
    },
}


@pytest.mark.parametrize("dialect", list(Dialect))
def test_a_reasoning_model_that_has_only_thought_is_alive_in_every_dialect(dialect: Dialect) -> None:
    endpoint = dataclasses.replace(ENDPOINT, provider=dataclasses.replace(ENDPOINT.provider, dialect=dialect))
    assert str(MAX_TOKENS).encode() in probe_request(endpoint).body
    body = json.dumps(THOUGHT_UP_TO_THE_LIMIT[dialect]).encode()
    assert read_outcome(endpoint, 200, body).result is ProbeResult.OK


def test_a_refusal_because_thinking_has_used_up_the_limit_shows_life_and_is_paid_in_full() -> None:
    message = "Could not finish the message because max_tokens or model output limit was reached. Please try again."
    body = json.dumps({"error": {"message": message, "type": "invalid_request_error"}}).encode()
    outcome = read_outcome(ENDPOINT, 400, body)
    assert outcome.result is ProbeResult.OK
    assert probe_cost(ENDPOINT, outcome) == highest_cost(ENDPOINT)
    assert read_outcome(ENDPOINT, 500, body).result is ProbeResult.BAD_ANSWER


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html></html>",
        b"[]",
        b"{}",
        b'{"choices": []}',
        b'{"choices": null}',
        answer()[:-5],
        answer(content="", usage=NOTHING_COUNTED),
        answer(finish_reason="error"),
        b'{"error": {"message": "boom", "code": 500}}',
    ],
)
def test_what_is_no_completion_is_a_bad_answer(body: bytes) -> None:
    assert read_outcome(ENDPOINT, 200, body).result is ProbeResult.BAD_ANSWER


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (500, ProbeResult.BAD_ANSWER),
        (502, ProbeResult.BAD_ANSWER),
        (503, ProbeResult.BAD_ANSWER),
        (529, ProbeResult.BAD_ANSWER),
        (504, ProbeResult.TIMEOUT),
        (404, ProbeResult.BAD_ANSWER),
        (302, ProbeResult.BAD_ANSWER),
        (204, ProbeResult.BAD_ANSWER),
        (401, ProbeResult.UNAUTHORIZED),
        (402, ProbeResult.UNAUTHORIZED),
        (403, ProbeResult.UNAUTHORIZED),
        (429, ProbeResult.RATE_LIMITED),
        (400, ProbeResult.REFUSED),
        (413, ProbeResult.REFUSED),
        (422, ProbeResult.REFUSED),
    ],
)
def test_a_status_says_who_is_at_fault(status: int, result: ProbeResult) -> None:
    outcome = read_outcome(ENDPOINT, status, b'{"error": {"message": "no"}}')
    assert (outcome.result, outcome.status_code) == (result, status)


def test_only_rate_limits_and_refusals_say_nothing() -> None:
    assert {result for result in ProbeResult if result.says_nothing} == {ProbeResult.RATE_LIMITED, ProbeResult.REFUSED}


def test_a_probe_costs_tokens_times_price() -> None:
    outcome = read_outcome(ENDPOINT, 200, answer())
    assert outcome.tokens == TokenCounts(10, 2)
    assert probe_cost(ENDPOINT, outcome) == 10 * 1_000 + 2 * 2_000


@pytest.mark.parametrize(
    ("outcome", "is_highest"),
    [
        (ProbeOutcome(ProbeResult.OK, 200), True),
        (ProbeOutcome(ProbeResult.TIMEOUT), True),
        (ProbeOutcome(ProbeResult.BAD_ANSWER, 200), True),
        (ProbeOutcome(ProbeResult.BAD_ANSWER, 500), False),
        (ProbeOutcome(ProbeResult.UNREACHABLE), False),
        (ProbeOutcome(ProbeResult.RATE_LIMITED, 429), False),
    ],
)
def test_what_nobody_counted_costs_the_most_it_can_or_nothing(outcome: ProbeOutcome, is_highest: bool) -> None:
    highest = highest_cost(ENDPOINT)
    assert highest == 64 * 1_000 + 16 * 3_000
    assert probe_cost(ENDPOINT, outcome) == (highest if is_highest else 0)


EMBEDDED = b'{"data": [{"index": 0, "embedding": [0.5]}], "usage": {"prompt_tokens": 2}}'
RANKED = b'{"results": [{"index": 0, "relevance_score": 0.5}]}'


@pytest.mark.parametrize(
    ("operation", "path", "good", "bad"),
    [
        (Operation.EMBEDDINGS, "/embeddings", EMBEDDED, b'{"data": []}'),
        (Operation.RERANK, "/rerank", RANKED, b'{"results": []}'),
    ],
)
def test_an_endpoint_is_asked_for_what_it_does(operation: Operation, path: str, good: bytes, bad: bytes) -> None:
    request = probe_request(ENDPOINT, operation)
    assert (request.path, json.loads(request.body)["model"]) == (path, ENDPOINT.upstream_model)
    assert read_outcome(ENDPOINT, 200, good, operation).result is ProbeResult.OK
    for wrong in (bad, RANKED if good is EMBEDDED else EMBEDDED, b"<html>", answer()):
        assert read_outcome(ENDPOINT, 200, wrong, operation).result is ProbeResult.BAD_ANSWER
    assert read_outcome(ENDPOINT, 500, b"", operation).result is ProbeResult.BAD_ANSWER


def test_an_embedding_costs_its_tokens() -> None:
    outcome = read_outcome(ENDPOINT, 200, EMBEDDED, Operation.EMBEDDINGS)
    assert probe_cost(ENDPOINT, outcome) == 2 * 1_000
