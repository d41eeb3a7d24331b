"""OpenAI's models at an Azure resource: paths, filters, errors."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dialects.answers import Answer, FinishReason, UpstreamErrorKind, Usage
from dialects.azure_openai import API_VERSION, AzureOpenAI
from dialects.chat import decode_chat_request
from dialects.openai_compatible import OpenAICompatible
from dialects.upstream import Target, UpstreamRequest

SAFE = {category: {"filtered": False, "severity": "safe"} for category in ("hate", "self_harm", "sexual", "violence")}
PROMPT_RESULTS = [
    {"prompt_index": 0, "content_filter_results": {**SAFE, "jailbreak": {"filtered": False, "detected": False}}}
]


def encode(document: Any) -> bytes:
    return json.dumps(document).encode()


def write(dialect: AzureOpenAI, quirks: set[str], model: str = "chat-default") -> UpstreamRequest:
    request = decode_chat_request(encode({"messages": [{"role": "user", "content": "hi"}], "max_tokens": 3}))
    return dialect.request(request, Target(model, frozenset({"max_tokens"}), stream=True, quirks=frozenset(quirks)))


def stream(*documents: Any) -> list[Answer]:
    raw = b"".join(b"data: " + encode(document) + b"\n\n" for document in documents)
    return list(AzureOpenAI().read_stream().feed(raw + b"data: [DONE]\n\n"))


def chunk(delta: dict[str, Any] | None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    said = {"delta": delta} if delta is not None else {}
    choice = {"index": 0, "finish_reason": finish, "logprobs": None, **said, **more}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o", "choices": [choice]}


def test_the_undated_api_has_one_path() -> None:
    written = write(AzureOpenAI(), set())
    assert written.path == "/openai/v1/chat/completions"
    assert json.loads(written.body)["model"] == "chat-default"


def test_a_deployment_has_a_path_with_a_version() -> None:
    written = write(AzureOpenAI(), {"deployment-path"})
    assert written.path == f"/openai/deployments/chat-default/chat/completions?api-version={API_VERSION}"
    other = write(AzureOpenAI("2025-04-01-preview&x=1"), {"deployment-path"}, "../../x?y")
    assert other.path == ("/openai/deployments/..%2F..%2Fx%3Fy/chat/completions?api-version=2025-04-01-preview%26x%3D1")


def test_the_body_is_that_of_chat_completions() -> None:
    request = decode_chat_request(encode({"messages": [{"role": "user", "content": "hi"}], "max_tokens": 3}))
    target = Target("m", frozenset({"max_tokens"}), stream=True, quirks=frozenset({"max-completion-tokens"}))
    assert AzureOpenAI().request(request, target).body == OpenAICompatible().request(request, target).body


def test_a_stream_with_results_of_filters() -> None:
    answers = stream(
        {"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": PROMPT_RESULTS},
        chunk({"role": "assistant", "content": "", "refusal": None}, content_filter_results={}),
        chunk({"content": "Hi"}, content_filter_results=SAFE),
        # Of the asynchronous filter: results without a delta.
        chunk(None, content_filter_results=SAFE, content_filter_offsets={"check_offset": 44, "start_offset": 44}),
        chunk({}, "stop", content_filter_results={}),
        {"id": "chatcmpl-1", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}},
    )
    choices = [choice for answer in answers for choice in answer.choices]
    assert answers[0] == Answer()
    assert [choice.has_output for choice in choices] == [False, True, False, False]
    assert choices[-1].finish_reason is FinishReason.STOP
    assert answers[-1].usage == Usage(3, 2)


def test_an_answer_that_a_filter_cut() -> None:
    hate = {"hate": {"filtered": True, "severity": "high"}}
    *_, last = stream(chunk({"content": "Well"}), chunk({}, "content_filter", content_filter_results=hate))
    assert last.choices[0].finish_reason is FinishReason.CONTENT_FILTER
    assert last.error is None


def test_a_filter_that_failed_is_no_failed_answer() -> None:
    failed = {"error": {"code": "content_filter_error", "message": "The contents are not filtered"}}
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": "Hi"},
        "content_filter_result": failed,
        "content_filter_results": failed,
    }
    answer = AzureOpenAI().read_answer(
        encode({"id": "1", "choices": [choice], "prompt_filter_results": PROMPT_RESULTS})
    )
    assert answer.error is None
    assert answer.choices[0].content == "Hi"


BLOCKED = {
    "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
    "type": None,
    "param": "prompt",
    "code": "content_filter",
    "status": 400,
    "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": SAFE},
}


@pytest.mark.parametrize(
    "error",
    [BLOCKED, {**BLOCKED, "code": None}, {"code": "400", "innererror": {"code": "ResponsibleAIPolicyViolation"}}],
)
def test_a_blocked_prompt_is_an_error_of_policy(error: dict[str, Any]) -> None:
    body = {"error": error}
    for found in (AzureOpenAI().read_error(encode(body), 400), stream(body)[0].error):
        assert found is not None
        assert found.kind is UpstreamErrorKind.CONTENT_POLICY


NOT_THERE = "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, please wait a moment and try again."
TOO_FAST = (
    "Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-10-21 have exceeded token rate limit of "
    "your current OpenAI S0 pricing tier. Please retry after 51 seconds. Please go here: https://aka.ms/oai/quotaincrease"
)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (404, {"error": {"code": "DeploymentNotFound", "message": NOT_THERE}}, "model_not_found"),
        (404, {"error": {"code": "404", "message": "Resource not found"}}, "model_not_found"),
        (400, {"error": {"code": "OperationNotSupported", "message": "The chatCompletion operation does not work with the specified model"}}, "model_not_found"),
        (400, {"error": {"code": "BadRequest", "message": "API version not supported"}}, "model_not_found"),
        (400, {"error": {"code": "context_length_exceeded", "message": "This model's maximum context length is 4096 tokens."}}, "context_length"),
        (400, {"error": {"code": "unsupported_parameter", "message": "Unsupported parameter: 'max_tokens' is not supported with this model."}}, "unsupported_parameter"),
        (401, {"error": {"code": "401", "message": "Access denied due to invalid subscription key or wrong API endpoint."}}, "authentication"),
        (401, {"statusCode": 401, "message": "Unauthorized. Access token is missing, invalid, audience is incorrect, or have expired."}, "authentication"),
        (403, {"error": {"code": "403", "message": "Your resource has been temporarily blocked because we detected behavior that may violate our content policy."}}, "authentication"),
        (408, {"error": {"code": "Timeout", "message": "The operation was timeout."}}, "timeout"),
        (429, {"error": {"code": "429", "message": TOO_FAST}}, "rate_limited"),
        (429, {"error": {"code": "RateLimitReached", "message": "Rate limit is exceeded. Try again in 8 seconds."}}, "rate_limited"),
        (429, {"error": {"code": "NoCapacity", "message": "The system is currently experiencing high demand."}}, "overloaded"),
        (429, {"error": {"code": "insufficient_quota", "message": "You exceeded your current quota"}}, "quota_exhausted"),
        (500, {"error": {"code": "InternalServerError", "message": "Backend returned unexpected response."}}, "server"),
        (503, {"error": {"code": "503", "message": "Service Unavailable"}}, "overloaded"),
    ],
)  # fmt: skip
def test_errors_are_classified_and_keep_their_text(status: int, body: dict[str, Any], kind: str) -> None:
    error = AzureOpenAI().read_error(encode(body), status)
    assert (error.kind, error.status) == (kind, status)
    assert error.message == body.get("error", body)["message"]


def test_a_body_that_is_no_error_tells_its_status() -> None:
    assert AzureOpenAI().read_error(b"<html>", 502).kind is UpstreamErrorKind.SERVER
