"""Conversations that are made to fit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialects.chat import ChatRequest, decode_chat_request
from dialects.compression import compress_middle
from dialects.estimates import measure_prompt


def request(messages: Sequence[object], **members: Any) -> ChatRequest:
    return decode_chat_request(json.dumps({"model": "a/b", "messages": messages, **members}).encode())


def tokens(asked: ChatRequest) -> int:
    return measure_prompt(asked.body).estimated_tokens


def chat(turns: int, words: int = 40) -> list[dict[str, Any]]:
    messages = [{"role": "system", "content": "Be kind."}]
    for number in range(turns):
        role = "assistant" if number % 2 else "user"
        messages.append({"role": role, "content": f"{number} " + "word " * words})
    return messages


def test_what_fits_is_left_alone() -> None:
    asked = request(chat(5))
    assert compress_middle(asked, 10_000) is asked


def test_the_middle_goes_first_and_both_ends_stay() -> None:
    asked = request(chat(21), temperature=0.5, x_unknown={"kept": True})
    shorter = compress_middle(asked, 400)
    left = [message["content"].split()[0] for message in shorter.document["messages"]]
    assert tokens(shorter) <= 400
    assert left[:2] == ["Be", "0"]
    assert left[-1] == "20"
    gone = {str(number) for number in range(21)} - set(left)
    assert gone
    # What is gone is one run of messages, and as much is left on either side of it, give or take one.
    assert sorted(map(int, gone)) == list(range(min(map(int, gone)), max(map(int, gone)) + 1))
    assert abs(min(map(int, gone)) - (20 - max(map(int, gone)))) <= 1
    assert shorter.document["temperature"] == 0.5
    assert shorter.document["x_unknown"] == {"kept": True}


def test_a_tool_call_goes_together_with_its_results() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    pair = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "found " * 200},
    ]
    messages = [*chat(4), *pair, *chat(5)[1:]]
    shorter = compress_middle(request(messages), 500)
    roles = [message["role"] for message in shorter.document["messages"]]
    calls = [message for message in shorter.document["messages"] if message.get("tool_calls")]
    assert roles.count("tool") == len(calls)


def test_a_single_text_loses_its_middle() -> None:
    text = "begin " + "ä" * 5000 + " end"
    shorter = compress_middle(request([{"role": "user", "content": text}]), 200)
    content = shorter.document["messages"][0]["content"]
    assert content.startswith("begin ")
    assert content.endswith(" end")
    assert "[...]" in content
    assert tokens(shorter) <= 200


def test_what_cannot_be_cut_is_left_to_the_provider() -> None:
    image = [{"type": "image_url", "image_url": {"url": "https://a.example/x.png"}}] * 3
    shorter = compress_middle(request([{"role": "user", "content": image}]), 100)
    assert shorter.document["messages"][0]["content"] == image


@given(
    st.lists(
        st.tuples(st.sampled_from(["user", "assistant", "system"]), st.text(max_size=400)), min_size=1, max_size=30
    ),
    st.integers(min_value=1, max_value=2000),
)
def test_it_ends_and_never_makes_a_prompt_longer(turns: list[tuple[str, str]], most: int) -> None:
    asked = request([{"role": role, "content": text} for role, text in turns])
    shorter = compress_middle(asked, most)
    assert tokens(shorter) <= tokens(asked)
    assert shorter.document["messages"][-1]["role"] == turns[-1][0]


@pytest.mark.parametrize("most", [1, 10, 50])
def test_long_conversations_take_no_time(most: int) -> None:
    assert tokens(compress_middle(request(chat(1500, words=5)), most)) < 100
