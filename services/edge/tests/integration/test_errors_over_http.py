"""Errors that the edge itself makes, over its real port."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.errors import ErrorReason
from edge.domain.errors import RefusedError
from edge.settings import HttpSettings
from edge.testing.router import refuse
from edge.testing.stack import EdgeStack, OpenEdge


async def test_a_limit_of_ours_says_how_much_there_is_and_when_there_is_more(open_edge: OpenEdge) -> None:
    edge = await open_edge(http=HttpSettings(port=0, key_rate=2))
    # Three in one window of the clock, or the first of them in the window before.
    answers = [await edge.chat() for _ in range(4)]
    refused = next(answer for answer in answers if answer.status == 429)
    assert refused.error["metadata"] == {"error_type": "rate_limit_exceeded", "limit_source": "platform"}
    assert refused.headers["X-RateLimit-Limit"] == "2"
    assert refused.headers["X-RateLimit-Remaining"] == "0"
    assert int(refused.headers["X-RateLimit-Reset"]) % 60_000 == 0
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    good = next(answer for answer in answers if answer.status == 200)
    assert not [name for name in good.headers if name.lower().startswith("x-ratelimit")]


@pytest.mark.parametrize(
    ("reason", "error_type"), [(ErrorReason.INTERNAL, "server"), (ErrorReason.PROVIDER_UNMAPPED, "unmapped")]
)
async def test_s37_an_error_of_ours_says_nothing_but_that_it_happened(
    edge: EdgeStack, reason: ErrorReason, error_type: str
) -> None:
    metadata = {"provider_name": "Acme", "provider_code": "secret", "previous_errors": '[{"provider":"Acme"}]'}
    edge.around.router.script = refuse(RefusedError(reason, "at line 7 of secret.py", metadata))
    answer = await edge.chat()
    assert answer.status == 500
    assert answer.error == {
        "code": 500,
        "message": "Internal Server Error",
        "metadata": {"error_type": error_type},
    }


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("path", "request_members"),
    [
        ("/responses", {"input": "Hi"}),
        ("/messages", {"max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}),
        ("/completions", {"prompt": "Hi"}),
    ],
)
async def test_s37_an_error_of_ours_in_the_other_dialects(
    edge: EdgeStack, path: str, request_members: dict[str, Any], stream: bool
) -> None:
    edge.around.router.script = refuse(RefusedError(ErrorReason.INTERNAL, "at line 7 of secret.py", {}))
    answer = await edge.call("POST", path, {"model": "acme/one", "stream": stream, **request_members})
    assert answer.status == 500
    assert b"secret.py" not in answer.body
    error = answer.document["error"]
    assert error["message"] == "Internal Server Error"
    if path == "/messages":
        assert (answer.document["type"], error["type"], error["error_type"]) == ("error", "api_error", "server")
    elif path == "/responses":
        assert answer.document["error_type"] == "server"
    else:
        assert error["metadata"]["error_type"] == "server"


async def test_what_each_attempt_ended_with_is_told_without_the_providers_words(edge: EdgeStack) -> None:
    metadata = {"previous_errors": '[{"provider":"Acme","code":"overloaded","status":529}]'}
    edge.around.router.script = refuse(RefusedError(ErrorReason.PROVIDER_OVERLOADED, "Overloaded", metadata))
    answer = await edge.chat()
    previous = [{"provider": "Acme", "code": "overloaded", "status": 529}]
    assert answer.error["metadata"]["previous_errors"] == previous


async def test_answers_are_never_compressed(edge: EdgeStack) -> None:
    for stream in (False, True):
        answer = await edge.call(
            "POST",
            "/chat/completions",
            {"model": "acme/one", "messages": [{"role": "user", "content": "Hi"}], "stream": stream},
            headers={"Accept-Encoding": "gzip, deflate, br"},
        )
        assert answer.status == 200
        assert "Content-Encoding" not in answer.headers


async def test_every_answer_has_a_request_id_of_ours(edge: EdgeStack) -> None:
    first = await edge.call("GET", "/models", headers={"X-Request-Id": "theirs"})
    second = await edge.call("GET", "/nothing")
    assert first.headers["X-Request-Id"] not in {"theirs", second.headers["X-Request-Id"]}
    assert second.headers["X-Request-Id"].startswith("req-")
