"""Texts of operations: all of them are seen, and each can be replaced where it is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dialects.operations.codec import decode_operation, encode_operation
from dialects.operations.requests import (
    EmbeddingsBody,
    ImagesBody,
    OperationBody,
    RerankBody,
    SpeechBody,
    TranscriptionBody,
)
from dialects.operations.texts import texts_in, with_texts

PICTURE = {"type": "image_url", "image_url": {"url": "https://acme.example/cat.png"}}


@pytest.mark.parametrize(
    ("kind", "members", "texts"),
    [
        (EmbeddingsBody, {"input": "one"}, ["one"]),
        (EmbeddingsBody, {"input": ["one", "two"]}, ["one", "two"]),
        (EmbeddingsBody, {"input": [[1, 2], [3]]}, []),
        (
            EmbeddingsBody,
            {"input": [{"content": [{"type": "text", "text": "one"}, PICTURE, {"type": "text", "text": "two"}]}]},
            ["one", "two"],
        ),
        (
            RerankBody,
            {"query": "one", "documents": ["two", {"image": "x"}, {"text": "three", "image": "y"}]},
            ["one", "two", "three"],
        ),
        (SpeechBody, {"input": "one", "input_references": [{"type": "text", "text": "two"}]}, ["one", "two"]),
        (SpeechBody, {"input": "one"}, ["one"]),
        (ImagesBody, {"prompt": "one"}, ["one"]),
        (TranscriptionBody, {}, []),
    ],
)
def test_every_text_is_seen_and_can_be_replaced(
    kind: type[OperationBody], members: dict[str, Any], texts: list[str]
) -> None:
    body = decode_operation(json.dumps({"model": "acme/m", **members}).encode(), kind)
    assert texts_in(body) == texts
    assert with_texts(body, texts) == body
    shouted = with_texts(body, [text.upper() for text in texts])
    assert texts_in(shouted) == [text.upper() for text in texts]
    assert not any(text in encode_operation(shouted).decode() for text in texts)
