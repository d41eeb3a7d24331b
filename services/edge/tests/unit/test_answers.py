"""Answers as bytes: chunks that any client reads as they were meant (S34), and whole documents."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai._streaming import SSEDecoder

from edge.api.http.errors import Problem
from edge.api.http.json_text import json_string, members_of, one_line
from edge.api.inference.chat.chunks import DONE, KEEP_ALIVE, ChunkWriter
from edge.api.inference.chat.result import ChatResult
from edge.api.inference.skin import Heading
from edge.testing.router import completed, piece, route
from turnpike.router.v1 import completion_pb2

ID = "gen-1790000000-aaaaaaaaaaaaaaaaaaaa"
# Whatever some client takes for the end of a line, and what a writer must escape.
AWKWARD = '\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029\x00\x7f"\\:\ufeff data: event: id: é😀'
awkward = st.text(st.one_of(st.sampled_from(AWKWARD), st.characters(exclude_categories=["Cs"])))


def writer() -> ChunkWriter:
    made = ChunkWriter(Heading(ID, 1_790_000_000, "asked/for"))
    made.route(route())
    return made


def by_line_feed(data: bytes) -> list[str]:
    """A client that splits at line feeds only, as most do."""
    return [line[6:] for line in data.decode().split("\n") if line.startswith("data: ")]


def by_any_line_end(data: bytes) -> list[str]:
    """A client that uses `str.splitlines`."""
    return [line[6:] for line in data.decode().splitlines() if line.startswith("data: ")]


def by_official_client(data: bytes) -> list[str]:
    """The decoder of OpenAI's own client."""
    return [event.data for event in SSEDecoder().iter_bytes(iter([data]))]


CLIENTS = [by_line_feed, by_any_line_end, by_official_client]

deltas = st.builds(
    piece,
    st.none() | awkward,
    index=st.integers(0, 12),
    reasoning=st.none() | awkward,
    refusal=st.none() | awkward,
    finish_reason=st.none() | st.sampled_from(["stop", "length"]),
    native_finish_reason=st.none() | awkward,
    extra_json=st.just(b"")
    | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])).map("x_{}".format), awkward).map(
        lambda members: json.dumps(members, ensure_ascii=False, indent=1).encode()
    ),
    logprobs_json=st.just(b"") | st.lists(awkward).map(lambda tokens: json.dumps({"content": tokens}).encode()),
    tool_calls=st.lists(
        st.builds(
            completion_pb2.ToolCallDelta,
            index=st.integers(0, 3),
            id=awkward,
            type=st.sampled_from(["", "function"]),
            name=awkward,
            arguments=awkward,
        ),
        max_size=2,
    ),
)


@given(st.lists(deltas, max_size=5), awkward)
def test_s34_every_client_sees_exactly_the_events_that_were_sent(
    sent: list[completion_pb2.ChoiceDelta], provider: str
) -> None:
    chunks = writer()
    chunks.route(route(provider))
    data = KEEP_ALIVE + chunks.deltas(sent) + KEEP_ALIVE + chunks.final(completed())
    for client in CLIENTS:
        *events, usage, done = client(data)
        assert done == "[DONE]"
        assert len(events) == len(sent)
        begun: set[int] = set()
        for event, delta in zip(events, sent, strict=True):
            check_event(json.loads(event), delta, provider)
            role = json.loads(event)["choices"][0]["delta"].get("role")
            assert role == (None if delta.index in begun else "assistant")
            begun.add(delta.index)
        assert json.loads(usage)["usage"]["total_tokens"] == 10


def check_event(event: Any, delta: completion_pb2.ChoiceDelta, provider: str) -> None:
    assert (event["id"], event["object"], event["created"]) == (ID, "chat.completion.chunk", 1_790_000_000)
    assert (event["model"], event["provider"]) == ("acme/one", provider)
    (choice,) = event["choices"]
    body = choice["delta"]
    assert choice["index"] == delta.index
    if delta.HasField("content"):
        assert body["content"] == delta.content
    else:
        assert body["content"] == (None if delta.tool_calls else "")
    for name in ("reasoning", "refusal"):
        assert body.get(name) == (getattr(delta, name) if delta.HasField(name) else None)
    assert choice["finish_reason"] == (delta.finish_reason if delta.HasField("finish_reason") else None)
    native = delta.native_finish_reason if delta.HasField("native_finish_reason") else None
    assert choice["native_finish_reason"] == native
    assert choice["logprobs"] == (json.loads(delta.logprobs_json) if delta.logprobs_json else None)
    extra = json.loads(delta.extra_json) if delta.extra_json else {}
    assert {name: value for name, value in body.items() if name.startswith("x_")} == extra
    calls = body.get("tool_calls", [])
    assert [call["function"].get("arguments") for call in calls] == [call.arguments for call in delta.tool_calls]
    assert [call.get("id", "") for call in calls] == [call.id for call in delta.tool_calls]


@given(awkward, awkward)
def test_s34_an_error_is_one_event(message: str, model: str) -> None:
    chunks = ChunkWriter(Heading(ID, 1, model))
    data = chunks.error(Problem(502, "provider_unavailable", message))
    for client in CLIENTS:
        (event,) = client(data)
        document = json.loads(event)
        metadata = {"error_type": "provider_unavailable"}
        assert document["error"] == {"code": 502, "message": message, "metadata": metadata}
        assert document["model"] == model
        assert document["choices"][0]["finish_reason"] == "error"


@given(awkward)
def test_s34_a_string_is_on_one_line_and_keeps_its_value(text: str) -> None:
    encoded = json_string(text)
    assert json.loads(encoded) == text
    assert len(encoded.decode().splitlines()) == 1
    assert not [byte for byte in encoded if byte < 0x20]


def test_a_document_over_several_lines_becomes_one() -> None:
    assert one_line(b'{\r\n "a": [1,\n2]}') == b'{"a":[1,2]}'
    assert one_line(b'{"a": 1}') == b'{"a": 1}'
    with pytest.raises(msgspec.DecodeError):
        one_line(b'{"a":\n')


def test_members_are_spliced_without_their_braces() -> None:
    assert members_of(b'{"a":1,"b":{}}') == b'"a":1,"b":{}'
    for nothing in (b"{}", b"{ }", b"[]", b"null", b""):
        assert members_of(nothing) == b""


def test_the_usage_chunk_repeats_how_the_answer_ended() -> None:
    chunks = writer()
    chunks.deltas([piece("x", finish_reason="length", native_finish_reason="max_tokens")])
    chunks.deltas([piece("x", index=1, finish_reason="stop")])
    data = chunks.final(completed(system_fingerprint="fp\n1", service_tier="flex"))
    assert data.endswith(DONE)
    document = json.loads(by_line_feed(data)[0], parse_float=Decimal)
    (choice,) = document["choices"]
    assert (choice["finish_reason"], choice["native_finish_reason"]) == ("length", "max_tokens")
    assert choice["delta"] == {"content": ""}
    assert (document["system_fingerprint"], document["service_tier"]) == ("fp\n1", "flex")
    assert document["usage"]["cost"] == Decimal("0.000013")
    assert document["usage"]["cost_details"]["upstream_inference_cost"] is None


def test_before_a_route_an_error_names_the_model_that_was_asked_for() -> None:
    data = ChunkWriter(Heading(ID, 1, "asked/for")).error(Problem(503, "provider_overloaded", "x"))
    assert json.loads(by_line_feed(data)[0])["model"] == "asked/for"


def test_a_whole_answer_is_put_together_from_pieces() -> None:
    result = ChatResult(Heading(ID, 1, "asked/for"))
    result.route(route())
    call = completion_pb2.ToolCallDelta
    for delta in (
        piece("Hel", reasoning="think", extra_json=b'{"images":[1],"x":1}'),
        piece("lo", tool_calls=[call(index=1, id="b", name="g", arguments="{")], extra_json=b'{"images":[2],"x":2}'),
        piece(
            tool_calls=[call(index=0, id="a", type="function", name="f", arguments="{}"), call(index=1, arguments="}")]
        ),
        piece(finish_reason="tool_calls", native_finish_reason="tool_use", logprobs_json=b'{"content":[]}'),
        piece("other", index=1, finish_reason="stop"),
    ):
        result.add(delta)
    document = json.loads(result.render(completed()))
    first, second = document["choices"]
    assert first["message"]["content"] == "Hello"
    assert (first["message"]["reasoning"], first["message"]["refusal"]) == ("think", None)
    assert [(c["id"], c["type"], c["function"]["name"]) for c in first["message"]["tool_calls"]] == [
        ("a", "function", "f"),
        ("b", "function", "g"),
    ]
    assert first["message"]["tool_calls"][1]["function"]["arguments"] == "{}"
    assert (first["message"]["images"], first["message"]["x"]) == ([1, 2], 2)
    assert (first["finish_reason"], first["native_finish_reason"]) == ("tool_calls", "tool_use")
    assert first["logprobs"] == {"content": []}
    assert (second["index"], second["message"]["content"]) == (1, "other")


def test_a_message_without_content_says_null() -> None:
    result = ChatResult(Heading(ID, 1, "asked/for"))
    result.add(piece(finish_reason="stop"))
    document = json.loads(result.render(completed()))
    assert document["choices"][0]["message"]["content"] is None
    assert document["model"] == "asked/for"
