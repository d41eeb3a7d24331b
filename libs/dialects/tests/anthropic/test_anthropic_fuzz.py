"""Nothing that a provider sends makes the Messages API's readers fail in an unnamed way."""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dialects.answers import Answer
from dialects.anthropic import Anthropic, MessagesStream
from dialects.errors import SseError, UpstreamAnswerError
from dialects.testing.messages_api import EVENTS, STREAM, encode, stream_of

DIALECT = Anthropic()


def read(stream: bytes, size: int = 1 << 30) -> list[Answer]:
    reader = MessagesStream()
    return [answer for at in range(0, len(stream), size) for answer in reader.feed(stream[at : at + size])]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4)
    | st.sampled_from(["text", "thinking", "tool_use", "text_delta", "input_json_delta", "error", "message_delta"]),
    lambda children: st.lists(children, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["type", "index", "content_block", "delta", "text", "thinking", "signature", "usage", "content", "message", "error",
             "stop_reason", "input_tokens", "output_tokens", "partial_json", "citations", "citation", "input", "details", "id"]
        ),
        children,
        max_size=5,
    ),
    max_leaves=15,
)  # fmt: skip


@given(JSON, st.integers(400, 599))
def test_any_json_is_an_answer_or_a_named_error(document: Any, status: int) -> None:
    with contextlib.suppress(UpstreamAnswerError):
        DIALECT.read_answer(encode(document))
    assert DIALECT.read_error(encode(document), status).status == status


@given(st.binary(max_size=300), st.integers(400, 599))
def test_any_bytes_are_an_answer_or_a_named_error(body: bytes, status: int) -> None:
    with contextlib.suppress(UpstreamAnswerError):
        DIALECT.read_answer(body)
    with contextlib.suppress(UpstreamAnswerError, SseError):
        read(body)
    assert len(DIALECT.read_error(body, status).message) <= 1_000


EVENT = st.builds(
    lambda kind, members: {**members, "type": kind},
    st.sampled_from(["message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "error"]),
    st.fixed_dictionaries(
        {}, optional={"index": st.integers(-1, 3) | JSON, "message": JSON, "content_block": JSON, "delta": JSON, "usage": JSON, "error": JSON}
    ),
)  # fmt: skip


@given(st.lists(EVENT | st.sampled_from(EVENTS), max_size=12))
def test_any_events_are_answers_or_a_named_error(events: list[dict[str, Any]]) -> None:
    with contextlib.suppress(UpstreamAnswerError):
        read(stream_of(*events))


@given(st.data())
def test_a_damaged_stream_is_answers_or_a_named_error(data: st.DataObject) -> None:
    damaged = bytearray(STREAM)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at : at + data.draw(st.integers(0, 30))] = data.draw(st.binary(max_size=4))
    with contextlib.suppress(UpstreamAnswerError, SseError):
        read(bytes(damaged), 50)
