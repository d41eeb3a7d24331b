"""Tokenizers that are known, and what is counted with them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialects.chat import ChatBody, chat_request_from_document
from dialects.prompt_counts import count_prompt
from dialects.tokenizers import (
    CL100K,
    MOST_COUNTED,
    O200K,
    count_or_estimate,
    count_text,
    encoding_of,
    load_tokenizer,
)


def body(**members: object) -> ChatBody:
    return chat_request_from_document(members).body


@pytest.mark.parametrize(
    ("model", "family", "expected"),
    [
        ("openai/gpt-4o", "GPT", O200K),
        ("openai/gpt-4.1-mini", "GPT", O200K),
        ("openai/gpt-5.4", "GPT", O200K),
        ("openai/o3", "GPT", O200K),
        ("openai/gpt-oss-120b:free", "GPT", O200K),
        ("openai/gpt-4", "GPT", CL100K),
        ("openai/gpt-4-turbo", "GPT", CL100K),
        ("openai/gpt-3.5-turbo", "GPT", CL100K),
        ("openai/text-embedding-3-large", "GPT", CL100K),
        ("anthropic/claude-sonnet-4.5", "Claude", None),
        ("acme/one", "Other", None),
    ],
)
def test_which_vocabulary_a_model_has(model: str, family: str, expected: str | None) -> None:
    assert encoding_of(model, family) == expected


@pytest.mark.parametrize(
    ("encoding", "text", "tokens"),
    # As OpenAI's own tokenizer counts them.
    [
        (O200K, "hello world", 2),
        (O200K, "The quick brown fox jumps over the lazy dog.", 10),
        (O200K, "tiktoken is great!", 6),
        (CL100K, "tiktoken is great!", 6),
        (CL100K, "antidisestablishmentarianism", 6),
        (CL100K, "2 + 2 = 4", 7),
        (CL100K, "お誕生日おめでとう", 9),
    ],
)
def test_counts_are_openais(encoding: str, text: str, tokens: int) -> None:
    assert load_tokenizer(encoding).count(text) == tokens


def test_an_unknown_vocabulary_is_refused() -> None:
    with pytest.raises(ValueError, match="no vocabulary"):
        load_tokenizer("made_up")


@given(st.text())
def test_any_text_has_a_count_and_never_more_tokens_than_bytes(text: str) -> None:
    counted = count_text(load_tokenizer(O200K), text)
    assert counted.exact
    assert (0 < counted.tokens <= len(text.encode(errors="replace"))) if text else counted.tokens == 0


def test_half_a_surrogate_pair_counts_as_something_unreadable() -> None:
    tokenizer = load_tokenizer(O200K)
    assert count_text(tokenizer, "a\ud800b").tokens == count_text(tokenizer, "a?b").tokens


def test_long_text_is_counted_in_part_and_says_so() -> None:
    tokenizer = load_tokenizer(O200K)
    text = "Every token counts, and each of them has its price. " * 4_000
    counted = count_text(tokenizer, text)
    assert len(text) > MOST_COUNTED
    assert not counted.exact
    assert abs(counted.tokens - tokenizer.count(text)) < tokenizer.count(text) // 50


def test_without_a_tokenizer_it_is_an_estimate() -> None:
    assert not count_or_estimate(None, "hello world").exact
    assert count_or_estimate(load_tokenizer(O200K), "hello world").exact


def test_a_prompt_is_its_texts_and_the_marks_around_them() -> None:
    tokenizer = load_tokenizer(O200K)
    one = body(messages=[{"role": "user", "content": "hello world"}])
    assert count_prompt(one, tokenizer).tokens == 2 + 3 + 3
    assert count_prompt(one, tokenizer).exact
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    more = body(
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "hello world"}]},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": "done"},
        ],
        tools=[tool],
    )
    assert count_prompt(more, tokenizer).tokens > count_prompt(one, tokenizer).tokens + 15
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    assert not count_prompt(body(messages=[{"role": "user", "content": [image]}]), tokenizer).exact
    assert not count_prompt(one, None).exact
