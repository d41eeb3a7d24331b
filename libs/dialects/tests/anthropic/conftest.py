"""Requests as the Messages API gets them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from dialects.anthropic import Anthropic
from dialects.chat import chat_request_from_document
from dialects.upstream import Target

EVERYTHING = frozenset(
    {"max_tokens", "temperature", "top_p", "top_k", "stop", "tools", "tool_choice", "response_format", "structured_outputs",
     "reasoning", "verbosity"}
)  # fmt: skip


@pytest.fixture
def body_of() -> Callable[..., dict[str, Any]]:
    """Gives the body for a request's members; a user's message is there by itself."""

    def write(
        document: dict[str, Any],
        *,
        quirks: frozenset[str] = frozenset(),
        supported: frozenset[str] = EVERYTHING,
        stream: bool = False,
        most: int = 0,
    ) -> dict[str, Any]:
        request = chat_request_from_document({"messages": [{"role": "user", "content": "Hello"}], **document})
        upstream = Anthropic().request(request, Target("claude-sonnet-4-5", supported, stream, most, quirks))
        assert upstream.path == "/v1/messages"
        assert upstream.headers == {"anthropic-version": "2023-06-01"}
        body: dict[str, Any] = json.loads(upstream.body)
        return body

    return write


@pytest.fixture
def messages_of(body_of: Callable[..., dict[str, Any]]) -> Callable[..., list[dict[str, Any]]]:
    """Gives the messages of the body for some messages."""

    def write(*messages: dict[str, Any], **members: Any) -> list[dict[str, Any]]:
        written: list[dict[str, Any]] = body_of({"messages": list(messages), **members})["messages"]
        return written

    return write
