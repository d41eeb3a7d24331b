"""A turn of a model that goes out as items and comes back as items is the turn that it was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dialects.answers import ChoiceDelta, FinishReason, ToolCallPiece
from dialects.responses import Event, ResponseOutput, decode_responses_request

ID = "gen-1790000000-aaaaaaaaaaaaaaaaaaaa"
text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
Detail = dict[str, Any]


def cut(whole: str, places: Sequence[int]) -> list[str]:
    """Cut a text into pieces, none of them empty."""
    ends = sorted({place % len(whole) for place in places} - {0})
    return [whole[start:end] for start, end in zip([0, *ends], [*ends, len(whole)], strict=True)]


cuts = st.lists(st.integers(0, 50), max_size=3)


@st.composite
def claude_thoughts(draw: st.DrawFn) -> list[Detail]:
    return [{"type": "reasoning.text", "text": draw(text), "signature": draw(text), "format": "anthropic-claude-v1"}]


@st.composite
def redacted_thoughts(draw: st.DrawFn) -> list[Detail]:
    return [{"type": "reasoning.encrypted", "data": draw(text), "format": "anthropic-claude-v1"}]


@st.composite
def plain_thoughts(draw: st.DrawFn) -> list[Detail]:
    return [{"type": "reasoning.text", "text": draw(text)}]


@st.composite
def openai_items(draw: st.DrawFn) -> list[Detail]:
    owner = {"id": f"rs_{draw(st.integers(0, 10**6))}", "format": "openai-responses-v1"}
    details: list[Detail] = [
        {"type": "reasoning.summary", "summary": each, **owner} for each in draw(st.lists(text, max_size=3))
    ]
    if draw(st.booleans()) or not details:
        details.append({"type": "reasoning.encrypted", "data": draw(text), **owner})
    return details


@st.composite
def gemini_signatures(draw: st.DrawFn) -> list[Detail]:
    owner = {"id": f"call_{draw(st.integers(0, 10**6))}", "format": "google-gemini-v1"}
    return [{"type": "reasoning.encrypted", "data": draw(text), **owner}]


@st.composite
def blocks(draw: st.DrawFn) -> list[Detail]:
    """Blocks of reasoning, numbered as every dialect numbers them."""
    kinds = st.one_of(claude_thoughts(), redacted_thoughts(), plain_thoughts(), openai_items(), gemini_signatures())
    details = [detail for group in draw(st.lists(kinds, max_size=4, unique_by=_owner)) for detail in group]
    for number, detail in enumerate(details):
        detail["index"] = number
    return details


def _owner(group: list[Detail]) -> object:
    """One turn has each id once."""
    return group[0].get("id") or id(group)


calls = st.lists(st.tuples(text, st.sampled_from(["look", "write"]), text), max_size=3, unique_by=lambda call: call[0])
citations = st.lists(
    st.fixed_dictionaries(
        {"url": text, "title": text, "start_index": st.integers(0, 9), "end_index": st.integers(0, 9)}
    ),
    max_size=2,
)


def pieces_of_detail(detail: Detail, places: Sequence[int]) -> list[Detail]:
    """The pieces in which a stream brings a detail. A signature comes last, on its own."""
    member = {"reasoning.text": "text", "reasoning.summary": "summary", "reasoning.encrypted": "data"}[detail["type"]]
    rest = {name: value for name, value in detail.items() if name not in (member, "signature")}
    if detail["type"] == "reasoning.encrypted":
        return [detail]
    pieces = [{**rest, member: each} for each in cut(detail[member], places)]
    if "signature" in detail:
        pieces.append({**rest, "signature": detail["signature"]})
    return pieces


def events_of(output: ResponseOutput, deltas: Sequence[ChoiceDelta]) -> list[Event]:
    """All events of an answer, as they would be on the wire."""
    events = [event for delta in deltas for event in output.add(delta)]
    events += output.finish()
    return [json.loads(json.dumps(event)) for event in events]


@given(blocks(), st.none() | text, calls, citations, cuts)
def test_a_turn_that_comes_back_is_the_turn_that_went_out(
    details: list[Detail],
    content: str | None,
    called: list[tuple[str, str, str]],
    cited: list[dict[str, Any]],
    places: list[int],
) -> None:
    deltas = []
    for detail in details:
        for piece in pieces_of_detail(detail, places):
            said = piece.get("text") or piece.get("summary")
            deltas.append(ChoiceDelta(0, reasoning=said, extra={"reasoning_details": [piece]}))
    deltas += [ChoiceDelta(0, piece) for piece in cut(content, places)] if content else []
    if content and cited:
        annotations = [{"type": "url_citation", "url_citation": each} for each in cited]
        deltas.append(ChoiceDelta(0, extra={"annotations": annotations}))
    for number, (call_id, name, arguments) in enumerate(called):
        deltas.append(ChoiceDelta(0, tool_calls=(ToolCallPiece(number, call_id, "function", name),)))
        deltas += [
            ChoiceDelta(0, tool_calls=(ToolCallPiece(number, arguments=each),)) for each in cut(arguments, places)
        ]
    deltas.append(ChoiceDelta(0, finish_reason=FinishReason.STOP))
    output = ResponseOutput(ID, {}, encrypted=True, logprobs=False)
    events = events_of(output, deltas)
    check_stream(events, output.items())

    sent = {"model": "a/b", "input": [*json.loads(json.dumps(output.items())), {"role": "user", "content": "go on"}]}
    *turn, question = decode_responses_request(json.dumps(sent).encode()).chat.document["messages"]
    assert question == {"role": "user", "content": "go on"}
    expected: dict[str, Any] = {"role": "assistant"}
    if details:
        expected["reasoning_details"] = details
        readable = "".join(detail.get("text") or detail.get("summary") or "" for detail in details)
        if readable:
            expected["reasoning"] = readable
    if content:
        expected["content"] = content
        if cited:
            expected["annotations"] = [{"type": "url_citation", "url_citation": each} for each in cited]
    if called:
        expected["tool_calls"] = [
            {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
            for call_id, name, arguments in called
        ]
    assert turn == ([expected] if len(expected) > 1 else [])


def check_stream(events: list[Event], items: list[dict[str, Any]]) -> None:
    """What a client that believes the events has at the end is what the response says at its end."""
    built: dict[int, dict[str, Any]] = {}
    open_items: set[int] = set()
    texts: dict[tuple[Any, ...], str] = {}
    for event in events:
        kind, index = event["type"], event["output_index"]
        where = (index, event.get("content_index"), event.get("summary_index"))
        if kind == "response.output_item.added":
            assert index == len(built)
            assert event["item"]["status"] == "in_progress"
            built[index] = event["item"]
            open_items.add(index)
            continue
        assert index in open_items or kind == "response.output_text.annotation.added"
        assert event.get("item_id", built[index]["id"]) == built[index]["id"]
        if kind.endswith(".delta"):
            assert event["delta"]
            texts[where] = texts.get(where, "") + event["delta"]
        elif kind.endswith(("_text.done", "arguments.done", "refusal.done")):
            whole = event.get("text", event.get("arguments", event.get("refusal")))
            assert texts.get(where, "") == whole
        elif kind == "response.output_item.done":
            assert event["item"]["id"] == built[index]["id"]
            built[index] = event["item"]
            open_items.discard(index)
    assert not open_items
    final = json.loads(json.dumps(items))
    assert [built[index]["id"] for index in range(len(built))] == [item["id"] for item in final]
    for index, item in enumerate(final):
        assert built[index] == item


@given(st.lists(st.tuples(st.sampled_from(["content", "reasoning", "refusal", "call"]), text), max_size=8))
def test_whatever_the_order_of_pieces_the_events_add_up(spoken: list[tuple[str, str]]) -> None:
    deltas = []
    for position, (kind, said) in enumerate(spoken):
        if kind == "call":
            piece = ToolCallPiece(position % 3, f"call{position % 3}", "function", "look", said)
            deltas.append(ChoiceDelta(0, tool_calls=(piece,)))
        else:
            deltas.append(replace(ChoiceDelta(0), **{kind: said}))
    output = ResponseOutput(ID, {}, encrypted=True, logprobs=False)
    check_stream(events_of(output, deltas), output.items())
    assert output.text == "".join(said for kind, said in spoken if kind == "content")
