"""Answers, streams and errors of the Gemini API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dialects.answers import Answer, FinishReason, ToolCallPiece, UpstreamErrorKind, Usage
from dialects.chat import decode_chat_request
from dialects.errors import UpstreamAnswerError
from dialects.gemini import Gemini
from dialects.upstream import Target


def encode(document: Any) -> bytes:
    return json.dumps(document).encode()


def stream(*documents: Any) -> list[Answer]:
    return list(
        Gemini().read_stream().feed(b"".join(b"data: " + encode(document) + b"\r\n\r\n" for document in documents))
    )


def candidate(parts: list[dict[str, Any]] | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    content = {"content": {"role": "model", "parts": parts}} if parts is not None else {}
    return {**content, **({"finishReason": finish} if finish else {}), "index": 0, **more}


def response(*candidates: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"candidates": list(candidates), "modelVersion": "gemini-3.1-pro", "responseId": "r1", **more}


USAGE = {
    "promptTokenCount": 100,
    "candidatesTokenCount": 20,
    "thoughtsTokenCount": 30,
    "totalTokenCount": 150,
    "cachedContentTokenCount": 60,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 100}],
}


def test_a_whole_answer() -> None:
    answer = Gemini().read_answer(
        encode(
            response(
                candidate(
                    [
                        {"text": "Let me see.", "thought": True},
                        {"text": "It is "},
                        {"text": "cold.", "thoughtSignature": "c2ln"},
                    ],
                    "STOP",
                    safetyRatings=[],
                ),
                usageMetadata=USAGE,
            )
        )
    )
    (choice,) = answer.choices
    assert answer.id == "r1"
    assert (choice.content, choice.reasoning) == ("It is cold.", "Let me see.")
    assert (choice.finish_reason, choice.native_finish_reason) == (FinishReason.STOP, "STOP")
    assert choice.extra == {
        "reasoning_details": [
            {"type": "reasoning.text", "text": "Let me see.", "format": "google-gemini-v1", "index": 0},
            {"type": "reasoning.encrypted", "data": "c2ln", "id": "text", "format": "google-gemini-v1", "index": 1},
        ]
    }
    assert answer.usage == Usage(prompt=100, completion=50, reasoning=30, cached=60)


def test_calls_get_ids_that_repeat_and_tell_answers_apart() -> None:
    def read(response_id: str) -> tuple[ToolCallPiece, ...]:
        parts: list[dict[str, Any]] = [
            {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "s1"},
            {"functionCall": {"name": "f", "args": {"a": 1}}},
            {"functionCall": {"name": "g", "id": "theirs"}},
        ]
        body = encode({**response(candidate(parts, "STOP")), "responseId": response_id})
        (choice,) = Gemini().read_answer(body).choices
        assert choice.finish_reason is FinishReason.TOOL_CALLS
        details = (choice.extra or {})["reasoning_details"]
        assert [detail["id"] for detail in details] == [choice.tool_calls[0].id]
        return choice.tool_calls

    calls = read("r1")
    assert [(piece.index, piece.type, piece.name, piece.arguments) for piece in calls] == [
        (0, "function", "f", '{"a":1}'),
        (1, "function", "f", '{"a":1}'),
        (2, "function", "g", "{}"),
    ]
    assert calls[2].id == "theirs"
    assert read("r1") == calls
    assert len({piece.id for piece in (*calls[:2], *read("r2")[:2])}) == 4


def test_a_stream_with_thoughts_text_calls_and_a_last_signature() -> None:
    answers = stream(
        response(candidate([{"text": "Hm", "thought": True}]), usageMetadata={"promptTokenCount": 9}),
        response(candidate([{"text": "m.", "thought": True}])),
        response(candidate([{"text": "Two"}])),
        response(
            candidate([{"text": " cities."}, {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "s1"}])
        ),
        response(candidate([{"functionCall": {"name": "g", "args": {"x": [1]}}}])),
        response(candidate([{"text": "", "thoughtSignature": "s2"}], "STOP"), usageMetadata=USAGE),
    )
    choices = [answer.choices[0] for answer in answers]
    assert "".join(choice.reasoning or "" for choice in choices) == "Hmm."
    assert "".join(choice.content or "" for choice in choices) == "Two cities."
    calls = [piece for choice in choices for piece in choice.tool_calls]
    assert [(piece.index, piece.name, piece.arguments) for piece in calls] == [(0, "f", "{}"), (1, "g", '{"x":[1]}')]
    details = [detail for choice in choices for detail in (choice.extra or {}).get("reasoning_details", [])]
    assert [detail["index"] for detail in details] == [0, 0, 1, 2]
    assert [(detail["data"], detail["id"]) for detail in details[2:]] == [("s1", calls[0].id), ("s2", None)]
    assert [choice.finish_reason for choice in choices] == [None] * 5 + [FinishReason.TOOL_CALLS]
    assert [answer.usage for answer in answers] == [Usage(9, 0), None, None, None, None, Usage(100, 50, 30, 60)]
    assert {answer.id for answer in answers} == {"r1"}


def test_a_turn_goes_back_as_it_came() -> None:
    parts: list[dict[str, Any]] = [
        {"text": "A thought.", "thought": True, "thoughtSignature": "t1"},
        {"text": "Looking.", "thoughtSignature": "x1"},
        {
            "functionCall": {"id": "n1", "name": "f", "args": {"a": {"b": [1, 2.5, None]}, "ü": "é"}},
            "thoughtSignature": "s1",
        },
        {"functionCall": {"id": "n2", "name": "g", "args": {}}},
    ]
    (choice,) = Gemini().read_answer(encode(response(candidate(parts, "STOP")))).choices
    turn = {
        "role": "assistant",
        "content": choice.content,
        **(choice.extra or {}),
        "tool_calls": [
            {"id": piece.id, "type": piece.type, "function": {"name": piece.name, "arguments": piece.arguments}}
            for piece in choice.tool_calls
        ],
    }
    request = decode_chat_request(encode({"messages": [{"role": "user", "content": "x"}, turn]}))
    target = Target("m", frozenset({"tools", "reasoning"}), stream=False)
    written = json.loads(Gemini().request(request, target).body)
    assert written["contents"][1] == {"role": "model", "parts": parts}


def test_a_streamed_turn_goes_back_with_its_signatures() -> None:
    answers = stream(
        response(candidate([{"text": "Thin", "thought": True}])),
        response(candidate([{"text": "king", "thought": True, "thoughtSignature": "t1"}])),
        response(candidate([{"text": "One "}])),
        response(candidate([{"text": "two."}])),
        response(candidate([{"text": "", "thoughtSignature": "end"}], "STOP")),
    )
    choices = [answer.choices[0] for answer in answers]
    turn = {
        "role": "assistant",
        "content": "".join(choice.content or "" for choice in choices),
        "reasoning_details": [
            detail for choice in choices for detail in (choice.extra or {}).get("reasoning_details", [])
        ],
    }
    request = decode_chat_request(encode({"messages": [turn]}))
    written = json.loads(Gemini().request(request, Target("m", frozenset(), stream=False)).body)
    assert written["contents"][0]["parts"] == [
        {"text": "Thinking", "thought": True, "thoughtSignature": "t1"},
        {"text": "One two."},
        {"text": "", "thoughtSignature": "end"},
    ]


def test_images_come_out_and_go_back() -> None:
    parts: list[dict[str, Any]] = [
        {"inlineData": {"mimeType": "image/png", "data": "ZHJhZnQ="}, "thought": True},
        {"text": "Here:"},
        {"inlineData": {"mimeType": "image/png", "data": "aW1n"}, "thoughtSignature": "i0"},
        {"inlineData": {"mimeType": "image/jpeg", "data": "aW1nMg=="}, "thoughtSignature": "i1"},
    ]
    (choice,) = Gemini().read_answer(encode(response(candidate(parts, "STOP")))).choices
    extra = choice.extra or {}
    assert [image["image_url"]["url"] for image in extra["images"]] == [
        "data:image/png;base64,aW1n",
        "data:image/jpeg;base64,aW1nMg==",
    ]
    turn = {"role": "assistant", "content": choice.content, **extra}
    request = decode_chat_request(encode({"messages": [turn]}))
    written = json.loads(Gemini().request(request, Target("m", frozenset(), stream=False)).body)
    assert written["contents"][0]["parts"] == parts[1:]


def test_a_large_image_fits_into_an_event() -> None:
    data = "A" * (3 * 1024 * 1024)
    (answer,) = stream(response(candidate([{"inlineData": {"mimeType": "image/png", "data": data}}], "STOP")))
    assert (answer.choices[0].extra or {})["images"][0]["image_url"]["url"].endswith(data)


@pytest.mark.parametrize(
    ("native", "expected"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("IMAGE_SAFETY", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", "error"),
        ("OTHER", "error"),
        ("SOMETHING_NEW", "stop"),
    ],
)
def test_finish_reasons(native: str, expected: str) -> None:
    # A filtered answer has no content.
    (choice,) = Gemini().read_answer(encode(response(candidate(None, native)))).choices
    assert (choice.finish_reason, choice.native_finish_reason) == (expected, native)
    assert not choice.has_output


@pytest.mark.parametrize(
    "feedback", [{"blockReason": "PROHIBITED_CONTENT"}, {"blockReason": "OTHER", "safetyRatings": []}]
)
def test_a_blocked_prompt_is_an_error_of_policy(feedback: dict[str, Any]) -> None:
    document = {"promptFeedback": feedback, "usageMetadata": {"promptTokenCount": 7, "totalTokenCount": 7}}
    for answer in (Gemini().read_answer(encode(document)), *stream(document)):
        assert answer.error is not None
        assert answer.error.kind is UpstreamErrorKind.CONTENT_POLICY
        assert answer.error.code == feedback["blockReason"]
        assert answer.usage == Usage(7, 0)


def test_feedback_beside_an_answer_is_no_error() -> None:
    document = response(candidate([{"text": "x"}], "STOP"), promptFeedback={"safetyRatings": []})
    assert Gemini().read_answer(encode(document)).error is None


def test_several_choices() -> None:
    answer = Gemini().read_answer(
        encode(response(candidate([{"text": "a"}], "STOP"), {**candidate([{"text": "b"}], "MAX_TOKENS"), "index": 1}))
    )
    assert [(choice.index, choice.content, choice.finish_reason) for choice in answer.choices] == [
        (0, "a", "stop"),
        (1, "b", "length"),
    ]


def test_sources_and_log_probabilities() -> None:
    (choice,) = (
        Gemini()
        .read_answer(
            encode(
                response(
                    candidate(
                        [{"text": "x"}],
                        "STOP",
                        citationMetadata={
                            "citationSources": [{"startIndex": 0, "endIndex": 4, "uri": "https://a.example"}]
                        },
                        groundingMetadata={
                            "groundingChunks": [{"web": {"uri": "https://b.example", "title": "B"}}, {}]
                        },
                        logprobsResult={
                            "chosenCandidates": [{"token": "x", "logProbability": -0.5}],
                            "topCandidates": [{"candidates": [{"token": "y", "logProbability": -1.0}]}],
                        },
                    )
                )
            )
        )
        .choices
    )
    assert (choice.extra or {})["annotations"] == [
        {"type": "url_citation", "url_citation": {"url": "https://a.example", "title": ""}},
        {"type": "url_citation", "url_citation": {"url": "https://b.example", "title": "B"}},
    ]
    assert choice.logprobs == {
        "content": [
            {
                "token": "x",
                "logprob": -0.5,
                "bytes": [120],
                "top_logprobs": [{"token": "y", "logprob": -1.0, "bytes": [121]}],
            }
        ],
        "refusal": None,
    }


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"promptTokenCount": 4, "totalTokenCount": 4}, Usage(4, 0)),
        ({"promptTokenCount": 4, "candidatesTokenCount": 2, "toolUsePromptTokenCount": 3}, Usage(7, 2)),
        # Some models count thoughts among the candidates.
        (
            {"promptTokenCount": 4, "candidatesTokenCount": 9, "thoughtsTokenCount": 5, "totalTokenCount": 13},
            Usage(4, 9, 5),
        ),
        ({"promptTokenCount": 4, "cachedContentTokenCount": 5}, None),
        ({"promptTokenCount": -1}, None),
        ({"promptTokenCount": 10**12}, None),
        ({"candidatesTokenCount": 2}, None),
        ([], None),
    ],
)
def test_usage_is_consistent_or_missing(usage: Any, expected: Usage | None) -> None:
    answer = Gemini().read_answer(encode(response(candidate([{"text": "x"}], "STOP"), usageMetadata=usage)))
    assert answer.usage == expected


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"candidates": {}},
        {"candidates": []},
        {"candidates": [3]},
        response({"index": -1}),
        response({"index": 128}),
        response({"content": []}),
        response({"content": {"parts": {}}}),
        response(candidate([{"text": 3}])),
        response(candidate([{"functionCall": {"args": {}}}])),
        response(candidate([{"functionCall": {"name": "f"}}] * 1_025)),
    ],
)
def test_what_is_no_answer_is_refused(document: Any) -> None:
    with pytest.raises(UpstreamAnswerError):
        Gemini().read_answer(encode(document))


def error_body(code: int, status: str, message: str, *details: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"code": code, "status": status, "message": message, "details": list(details)}}


def quota(quota_id: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": quota_id}]}


SPENT = "You exceeded your current quota, please check your plan and billing details."


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (error_body(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", {"reason": "API_KEY_INVALID"}), "authentication"),
        (error_body(400, "FAILED_PRECONDITION", "User location is not supported for the API use."), "authentication"),
        (error_body(400, "INVALID_ARGUMENT", "The input token count (1193232) exceeds the maximum number of tokens allowed (1048576)."), "context_length"),
        (error_body(400, "INVALID_ARGUMENT", "Function calling is not enabled for models/gemma-3-27b-it"), "unsupported_parameter"),
        (error_body(400, "INVALID_ARGUMENT", 'Invalid JSON payload received. Unknown name "x": Cannot find field.'), "unsupported_parameter"),
        (error_body(400, "INVALID_ARGUMENT", "Unable to process input image."), "invalid_request"),
        (error_body(403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers"), "authentication"),
        (error_body(404, "NOT_FOUND", "models/x is not found for API version v1beta, or is not supported for generateContent."), "model_not_found"),
        (error_body(429, "RESOURCE_EXHAUSTED", SPENT, quota("GenerateRequestsPerMinutePerProjectPerModel")), "rate_limited"),
        (error_body(429, "RESOURCE_EXHAUSTED", SPENT, quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier")), "quota_exhausted"),
        (error_body(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."), "rate_limited"),
        (error_body(429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted."), "quota_exhausted"),
        (error_body(499, "CANCELLED", "The operation was cancelled."), "server"),
        (error_body(500, "INTERNAL", "An internal error has occurred."), "server"),
        (error_body(503, "UNAVAILABLE", "The model is overloaded. Please try again later."), "overloaded"),
        (error_body(504, "DEADLINE_EXCEEDED", "Deadline expired before operation could complete."), "timeout"),
    ],
)  # fmt: skip
def test_errors_are_classified_wherever_they_come(body: dict[str, Any], kind: str) -> None:
    status = body["error"]["code"]
    for error in (
        Gemini().read_error(encode(body), status),
        Gemini().read_error(encode([body]), status),
        Gemini().read_answer(encode(body)).error,
        stream(body)[0].error,
    ):
        assert error is not None
        assert (error.kind, error.status, error.code) == (kind, status, body["error"]["status"])


def test_a_body_that_is_no_error_tells_its_status() -> None:
    assert Gemini().read_error(b"<html>", 502).kind is UpstreamErrorKind.SERVER
    assert Gemini().read_error(b"[]", 429).kind is UpstreamErrorKind.RATE_LIMITED
    assert Gemini().read_error(b'{"error":{}}', 401).kind is UpstreamErrorKind.AUTHENTICATION
    assert Gemini().read_error(b'{"error":"busy"}', 503).message == "busy"
