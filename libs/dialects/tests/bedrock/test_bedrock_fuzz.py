"""Nothing that a provider sends makes the Converse API's readers fail in an unnamed way."""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dialects.answers import Answer
from dialects.bedrock import Bedrock, ConverseStream
from dialects.errors import UpstreamAnswerError
from dialects.testing.converse_api import EVENTS, STREAM, encode, stream_of

DIALECT = Bedrock()


def read(stream: bytes, size: int = 1 << 30) -> list[Answer]:
    reader = ConverseStream()
    return [answer for at in range(0, len(stream), size) for answer in reader.feed(stream[at : at + size])]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda children: st.lists(children, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["output", "message", "content", "text", "toolUse", "toolUseId", "input", "image", "source", "bytes", "format", "usage",
             "reasoningContent", "reasoningText", "citationsContent", "citations", "citation", "location", "web", "stopReason",
             "start", "delta", "contentBlockIndex", "inputTokens", "outputTokens", "serviceTier", "type", "__type"]
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
    with contextlib.suppress(UpstreamAnswerError):
        DIALECT.read_answer(encode({"output": {"message": {"content": [document]}}}))
    assert DIALECT.read_error(encode(document), status).status == status


@given(st.binary(max_size=300), st.integers(400, 599))
def test_any_bytes_are_an_answer_or_a_named_error(body: bytes, status: int) -> None:
    with contextlib.suppress(UpstreamAnswerError):
        DIALECT.read_answer(body)
    with contextlib.suppress(UpstreamAnswerError):
        read(body)
    assert len(DIALECT.read_error(body, status).message) <= 1_000


NAMES = ["messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"]
EVENT = st.tuples(
    st.sampled_from(NAMES),
    st.fixed_dictionaries(
        {}, optional={"contentBlockIndex": st.integers(-1, 3), "start": JSON, "delta": JSON, "stopReason": JSON, "usage": JSON}
    ) | JSON,
)  # fmt: skip


@given(st.lists(EVENT | st.sampled_from(EVENTS), max_size=12))
def test_any_events_are_answers_or_a_named_error(events: list[tuple[str, Any]]) -> None:
    with contextlib.suppress(UpstreamAnswerError):
        read(stream_of(*events))


@given(st.data())
def test_a_damaged_stream_is_answers_or_a_named_error(data: st.DataObject) -> None:
    damaged = bytearray(STREAM)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at : at + data.draw(st.integers(0, 30))] = data.draw(st.binary(max_size=4))
    with contextlib.suppress(UpstreamAnswerError):
        read(bytes(damaged), 50)
