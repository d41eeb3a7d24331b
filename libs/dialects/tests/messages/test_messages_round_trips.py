"""What goes through both of our conversions comes out as it went in, wherever the other side can carry it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dialects.answers import ChoiceDelta
from dialects.anthropic import Anthropic, MessagesStream
from dialects.messages import AnswerBlocks, Ending, MessageContent, decode_messages_request
from dialects.messages.thoughts import seal, unseal_redacted, unseal_thinking
from dialects.testing.messages_api import block, stream_of
from dialects.upstream import Target

EVERYTHING = frozenset(
    {"max_tokens", "temperature", "top_p", "top_k", "stop", "tools", "tool_choice", "response_format", "structured_outputs",
     "reasoning", "verbosity"}
)  # fmt: skip

TEXT = st.text(min_size=1, max_size=12).filter(lambda text: bool(text.strip()))
WORD = st.from_regex(r"[a-zA-Z0-9_-]{1,20}", fullmatch=True)
BASE64 = st.from_regex(r"[A-Za-z0-9+/]{4,24}", fullmatch=True)
MARK = st.none() | st.sampled_from([{"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}])
JSON_OBJECT = st.dictionaries(WORD, st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5), max_size=3)


def marked(blocks: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(lambda made, mark: made if mark is None else {**made, "cache_control": mark}, blocks, MARK)


TEXTS = st.builds(lambda text: {"type": "text", "text": text}, TEXT)
IMAGES = st.builds(
    lambda kind, data: {"type": "image", "source": {"type": "base64", "media_type": f"image/{kind}", "data": data}},
    st.sampled_from(["png", "jpeg", "gif", "webp"]),
    BASE64,
) | st.just({"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}})
SOURCES = (
    st.builds(lambda data: {"type": "base64", "media_type": "application/pdf", "data": data}, BASE64)
    | st.builds(lambda text: {"type": "text", "media_type": "text/plain", "data": text}, TEXT)
    | st.just({"type": "url", "url": "https://example.com/a.pdf"})
)
DOCUMENTS = st.builds(
    lambda source, title: {"type": "document", "source": source, **({"title": title} if title else {})},
    SOURCES,
    st.none() | WORD,
)
THOUGHTS = st.builds(
    lambda text, signature: {"type": "thinking", "thinking": text, "signature": signature}, TEXT, BASE64
) | st.builds(lambda data: {"type": "redacted_thinking", "data": data}, BASE64)


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    """A request as Anthropic takes it, with no more than four cache markers and no string where blocks are the same."""
    messages: list[dict[str, Any]] = []
    calls: list[str] = []
    names: set[str] = set()
    for number in range(draw(st.integers(0, 3))):
        results = [
            {
                "type": "tool_result",
                "tool_use_id": call,
                "content": draw(st.lists(TEXTS | IMAGES | DOCUMENTS, min_size=1, max_size=2)),
                **({"is_error": True} if draw(st.booleans()) else {}),
                **({"cache_control": {"type": "ephemeral"}} if draw(st.booleans()) else {}),
            }
            for call in calls
        ]
        said = draw(st.lists(marked(TEXTS | IMAGES | DOCUMENTS), min_size=0 if results else 1, max_size=3))
        messages.append({"role": "user", "content": [*results, *said]})
        calls = [f"toolu_{number}_{at}" for at in range(draw(st.integers(0, 2)))]
        made: list[dict[str, Any]] = [
            draw(
                marked(
                    st.builds(
                        lambda name, given, id: {"type": "tool_use", "id": id, "name": name, "input": given},
                        WORD,
                        JSON_OBJECT,
                        st.just(call),
                    )
                )
            )
            for call in calls
        ]
        names |= {use["name"] for use in made}
        spoken = draw(st.lists(TEXTS, min_size=0 if made else 1, max_size=2))
        thoughts = draw(st.lists(THOUGHTS, max_size=2))
        messages.append({"role": "assistant", "content": [*thoughts, *spoken, *made]})
    messages.append({"role": "user", "content": [{"type": "text", "text": "Go on"}]})
    if calls:
        messages[-1]["content"] = [
            *(
                {"type": "tool_result", "tool_use_id": call, "content": [{"type": "text", "text": "x"}]}
                for call in calls
            ),
            *messages[-1]["content"],
        ]
    tools = [
        {"name": name, "description": "d", "input_schema": {"type": "object", "properties": {}}}
        for name in sorted(names | {"spare"})
    ]
    document: dict[str, Any] = {
        "model": "anthropic/claude",
        "max_tokens": draw(st.integers(1, 4_000)),
        "system": draw(st.lists(TEXTS, min_size=1, max_size=2)),
        "messages": messages,
        "tools": tools,
        "tool_choice": draw(
            st.sampled_from(
                [{"type": "auto"}, {"type": "any"}, {"type": "none"}, {"type": "tool", "name": "spare"},
                 {"type": "auto", "disable_parallel_tool_use": True}]
            )
        ),
    }  # fmt: skip
    document |= draw(
        st.fixed_dictionaries(
            {},
            optional={
                "temperature": st.sampled_from([0.0, 0.5, 1.0]),
                "top_k": st.integers(1, 50),
                "stop_sequences": st.lists(TEXT, min_size=1, max_size=4),
                "cache_control": st.just({"type": "ephemeral"}),
            },
        )
    )
    most = 3 if "cache_control" in document else 4
    marks = [each for message in messages for each in message["content"] if "cache_control" in each]
    for each in marks[: max(0, len(marks) - most)]:
        del each["cache_control"]
    return document


@given(requests())
def test_a_request_reaches_anthropics_models_as_it_was_sent(document: dict[str, Any]) -> None:
    chat = decode_messages_request(json.dumps(document).encode()).chat
    target = Target("anthropic/claude", EVERYTHING, stream=False, max_completion_tokens=0, quirks=frozenset())
    assert json.loads(Anthropic().request(chat, target).body) == document


CALLS = st.builds(
    lambda name, arguments: {"type": "tool_use", "id": f"toolu_{name}", "name": name, "input": arguments},
    WORD,
    JSON_OBJECT,
)
SPOKEN = st.builds(lambda text: {"type": "text", "text": text}, st.text(min_size=1, max_size=20))


def content_blocks() -> st.SearchStrategy[list[dict[str, Any]]]:
    """Content as models write it: two blocks of text never follow each other, and calls come last."""
    alternating = st.lists(st.tuples(st.lists(THOUGHTS, max_size=2), st.none() | SPOKEN), max_size=3)

    def joined(groups: list[Any], calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = []
        for thoughts, said in groups:
            made += thoughts
            if said is not None and not (made and made[-1]["type"] == "text"):
                made.append(said)
        return [*made, *({**call, "id": f"{call['id']}_{at}"} for at, call in enumerate(calls))]

    return st.builds(joined, alternating, st.lists(CALLS, max_size=3))


def halves(text: str) -> list[str]:
    return [part for part in (text[: len(text) // 2], text[len(text) // 2 :]) if part]


def as_stream(content: list[dict[str, Any]]) -> bytes:
    events: list[dict[str, Any]] = [{"type": "message_start", "message": {"id": "msg_1", "usage": {"input_tokens": 1}}}]
    for at, each in enumerate(content):
        match each["type"]:
            case "text":
                deltas = [{"type": "text_delta", "text": part} for part in halves(each["text"])]
                events += block(at, {"type": "text", "text": ""}, *deltas)
            case "thinking":
                deltas = [{"type": "thinking_delta", "thinking": part} for part in halves(each["thinking"])]
                signature = {"type": "signature_delta", "signature": each["signature"]}
                events += block(at, {"type": "thinking", "thinking": "", "signature": ""}, *deltas, signature)
            case "redacted_thinking":
                events += block(at, each)
            case "tool_use":
                deltas = [
                    {"type": "input_json_delta", "partial_json": part} for part in halves(json.dumps(each["input"]))
                ]
                events += block(at, {**each, "input": {}}, *deltas)
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}}
    return stream_of(*events, end, {"type": "message_stop"})


def written(pieces: list[ChoiceDelta]) -> list[dict[str, Any]]:
    """Content of a message that is made of pieces of an answer, through the events of its stream."""
    blocks, content, ending = AnswerBlocks(), MessageContent(), Ending()
    open_blocks: list[int] = []
    for piece in pieces:
        events = blocks.reasoning(piece.reasoning or "", (piece.extra or {}).get("reasoning_details", []))
        events += blocks.text(piece.content or "")
        for call in piece.tool_calls:
            events += blocks.tool_call(call.index, call.id, call.name, call.arguments)
        content.add(events)
        open_blocks += [
            e["index"] if e["type"] == "content_block_start" else -1 - e["index"] for e in events if "delta" not in e
        ]
    events = blocks.close()
    open_blocks += [
        e["index"] if e["type"] == "content_block_start" else -1 - e["index"] for e in events if "delta" not in e
    ]
    content.add(events)
    # Each block ends before the next one begins.
    assert open_blocks == [step for at in range(len(open_blocks) // 2) for step in (at, -1 - at)]
    assert ending.finish_reason == ""
    made = content.blocks()
    return [{name: value for name, value in each.items() if name not in ("caller", "citations")} for each in made]


@given(content_blocks())
def test_an_answer_of_anthropics_models_reaches_the_caller_as_it_was_streamed(content: list[dict[str, Any]]) -> None:
    pieces = [choice for answer in MessagesStream().feed(as_stream(content)) for choice in answer.choices]
    assert written(pieces) == content


@given(content_blocks())
def test_a_whole_answer_keeps_its_blocks_of_each_kind_in_order(content: list[dict[str, Any]]) -> None:
    message = {"type": "message", "id": "msg_1", "content": content, "stop_reason": "end_turn", "usage": {}}
    made = written(list(Anthropic().read_answer(json.dumps(message).encode()).choices))
    # A choice of chat completions has reasoning, text and calls, each in order, and no order among the three.
    for kinds in (("thinking", "redacted_thinking"), ("tool_use",)):
        assert [b for b in made if b["type"] in kinds] == [b for b in content if b["type"] in kinds]
    texts = ["".join(b["text"] for b in blocks if b["type"] == "text") for blocks in (made, content)]
    assert texts[0] == texts[1]


DETAILS = st.builds(
    lambda kind, text, opaque, members: {
        "type": kind,
        **({"text": text} if kind == "reasoning.text" else {"summary": text} if kind == "reasoning.summary" else {}),
        **({"data": opaque} if kind == "reasoning.encrypted" else {}),
        **({"signature": opaque} if kind == "reasoning.text" and opaque else {}),
        **members,
    },
    st.sampled_from(["reasoning.text", "reasoning.summary", "reasoning.encrypted"]),
    TEXT,
    st.text(min_size=1, max_size=10),
    st.fixed_dictionaries(
        {"format": st.sampled_from(["openai-responses-v1", "google-gemini-v1", "anthropic-claude-v1"])},
        optional={"id": WORD},
    ),
)


@given(st.lists(DETAILS, max_size=4))
def test_reasoning_of_any_vendor_comes_back_from_a_client_of_the_messages_api(details: list[dict[str, Any]]) -> None:
    details = [{**detail, "index": at} for at, detail in enumerate(details)]
    answer = written([ChoiceDelta(0, extra={"reasoning_details": details})])
    returned = {"model": "m", "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": answer}]}
    if not details:
        return
    chat = decode_messages_request(json.dumps(returned).encode()).chat
    assert chat.document["messages"][1]["reasoning_details"] == details


@given(DETAILS)
def test_sealing_is_undone_by_unsealing(detail: dict[str, Any]) -> None:
    if detail["type"] == "reasoning.encrypted":
        assert unseal_redacted(seal(detail), 3) == {**detail, "index": 3}
    else:
        text = detail["text"] if "text" in detail else detail["summary"]
        assert unseal_thinking(text, seal(detail), 3) == {**detail, "index": 3}
