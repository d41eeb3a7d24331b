"""Legacy completions: what they become for the router, and what is refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dialects.errors import InvalidRequestError
from dialects.text_completions import TextCompletionRequest, decode_text_completion_request, text_logprobs


def decode(**members: Any) -> TextCompletionRequest:
    return decode_text_completion_request(json.dumps({"model": "acme/one", "prompt": "Once", **members}).encode())


def test_a_prompt_is_what_a_user_says_and_the_rest_stays() -> None:
    sent = {"max_tokens": 5, "temperature": 0.5, "n": 2, "stream": True, "provider": {"order": ["acme"]}, "x_new": [1]}
    request = decode(**sent, logprobs=2, best_of=2, suffix="", messages=[{"role": "user", "content": "other"}])
    assert request.chat.document == {
        "messages": [{"role": "user", "content": "Once"}],
        "model": "acme/one",
        **sent,
        "logprobs": True,
        "top_logprobs": 2,
    }
    assert request.echo == ""
    assert decode(prompt=["Twice"], echo=True).echo == "Twice"
    assert "Once" not in repr(decode(echo=True))


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [""]}, "prompt[0]"),
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": [[1, 2]]}, "prompt"),
        ({"prompt": {}}, "prompt"),
        ({"suffix": "end"}, "suffix"),
        ({"best_of": 3}, "best_of"),
        ({"n": 0}, "n"),
        ({"logprobs": 6}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"echo": "yes"}, "echo"),
        ({"provider": {"sort": "beauty"}}, "provider.sort"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
    ],
    ids=str,
)
def test_what_is_wrong_or_not_offered_is_refused_by_name(members: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        decode(**members)
    assert raised.value.param == param


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b"{"])
def test_what_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        decode_text_completion_request(body)


def test_log_probabilities_know_where_their_tokens_are() -> None:
    tokens = [
        {"token": "He", "logprob": -0.1, "top_logprobs": [{"token": "He", "logprob": -0.1}]},
        {"token": "y", "logprob": -0.2, "top_logprobs": None},
    ]
    assert text_logprobs({"content": tokens}, 4) == (
        {
            "tokens": ["He", "y"],
            "token_logprobs": [-0.1, -0.2],
            "top_logprobs": [{"He": -0.1}, {}],
            "text_offset": [4, 6],
        },
        7,
    )


@pytest.mark.parametrize("logprobs", [None, [], {}, {"content": None}, {"content": []}, {"content": [5]}, "x"])
def test_log_probabilities_of_another_form_are_none(logprobs: Any) -> None:
    assert text_logprobs(logprobs, 4) == (None, 4)
