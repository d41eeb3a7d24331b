"""Requests for operations: what is valid, and the field that is named when one is not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dialects.errors import InvalidRequestError
from dialects.operations.codec import decode_operation, encode_operation, inputs_of, plain_texts
from dialects.operations.requests import (
    MAX_INPUTS,
    EmbeddingsBody,
    ImagesBody,
    OperationBody,
    RerankBody,
    SpeechBody,
    TranscriptionBody,
)

SOUND: dict[type[OperationBody], dict[str, Any]] = {
    EmbeddingsBody: {"model": "acme/e", "input": "Hello"},
    RerankBody: {"model": "acme/r", "query": "Hello?", "documents": ["a", "b"]},
    SpeechBody: {"model": "acme/s", "input": "Hello", "voice": "alloy"},
    TranscriptionBody: {"model": "acme/t"},
    ImagesBody: {"model": "acme/i", "prompt": "A cat"},
}


def read(kind: type[OperationBody], **members: Any) -> OperationBody:
    document = {**SOUND[kind], **members}
    return decode_operation(json.dumps({k: v for k, v in document.items() if v != "-"}).encode(), kind)


@pytest.mark.parametrize(
    ("kind", "members", "param"),
    [
        (EmbeddingsBody, {"model": "-"}, "model"),
        (EmbeddingsBody, {"model": 5}, "model"),
        (EmbeddingsBody, {"input": "-"}, "input"),
        (EmbeddingsBody, {"input": ""}, "input"),
        (EmbeddingsBody, {"input": []}, "input"),
        (EmbeddingsBody, {"input": ["a", ""]}, "input[1]"),
        (EmbeddingsBody, {"input": ["a", 5]}, "input[1]"),
        (EmbeddingsBody, {"input": [1, "a"]}, "input"),
        (EmbeddingsBody, {"input": [-1]}, "input"),
        (EmbeddingsBody, {"input": [[1], []]}, "input[1]"),
        (EmbeddingsBody, {"input": [[1, -2]]}, "input[0][1]"),
        (EmbeddingsBody, {"input": [1.5]}, "input[0]"),
        (EmbeddingsBody, {"input": [{"content": []}]}, "input[0].content"),
        (EmbeddingsBody, {"input": [{"content": [{"type": "smell"}]}]}, "input[0].content[0].type"),
        (EmbeddingsBody, {"input": ["a"] * (MAX_INPUTS + 1)}, "input"),
        (EmbeddingsBody, {"dimensions": 0}, "dimensions"),
        (EmbeddingsBody, {"encoding_format": "hex"}, "encoding_format"),
        (EmbeddingsBody, {"provider": {"order": "openai"}}, "provider.order"),
        (RerankBody, {"query": ""}, "query"),
        (RerankBody, {"documents": []}, "documents"),
        (RerankBody, {"documents": ["a", {}]}, "documents[1]"),
        (RerankBody, {"documents": [5]}, "documents[0]"),
        (RerankBody, {"top_n": 0}, "top_n"),
        (SpeechBody, {"input": ""}, "input"),
        (SpeechBody, {"voice": ""}, "voice"),
        (SpeechBody, {"response_format": "midi"}, "response_format"),
        (SpeechBody, {"speed": 5}, "speed"),
        (TranscriptionBody, {"response_format": "srt"}, "response_format"),
        (TranscriptionBody, {"temperature": 2}, "temperature"),
        (TranscriptionBody, {"timestamp_granularities": ["line"]}, "timestamp_granularities[0]"),
        (ImagesBody, {"prompt": ""}, "prompt"),
        (ImagesBody, {"n": 11}, "n"),
        (ImagesBody, {"size": "huge"}, "size"),
        (ImagesBody, {"aspect_ratio": "1:3"}, "aspect_ratio"),
        (ImagesBody, {"output_compression": 101}, "output_compression"),
    ],
)
def test_a_request_that_is_wrong_names_its_field(
    kind: type[OperationBody], members: dict[str, Any], param: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read(kind, **members)
    assert caught.value.param == param
    assert param in caught.value.message


@pytest.mark.parametrize("body", [b"", b"5", b"[]", b'{"model":', b"\xff"])
@pytest.mark.parametrize("kind", list(SOUND))
def test_a_body_that_is_no_object_is_refused(kind: type[OperationBody], body: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        decode_operation(body, kind)


@pytest.mark.parametrize("kind", list(SOUND))
def test_a_request_survives_the_way_to_the_router(kind: type[OperationBody]) -> None:
    body = read(kind, user="someone", provider={"only": ["acme"]}, dimensions=None)
    assert decode_operation(encode_operation(body), kind) == body


@pytest.mark.parametrize(
    ("given", "inputs", "texts"),
    [
        ("one", ["one"], ["one"]),
        (["one", "two"], ["one", "two"], ["one", "two"]),
        ([1, 2, 3], [(1, 2, 3)], None),
        ([[1, 2], [3]], [(1, 2), (3,)], None),
    ],
)
def test_every_form_of_input_is_a_list_of_what_gets_one_vector(given: Any, inputs: Any, texts: Any) -> None:
    body = read(EmbeddingsBody, input=given)
    assert isinstance(body, EmbeddingsBody)
    assert list(inputs_of(body)) == inputs
    assert plain_texts(inputs_of(body)) == texts


def test_content_of_text_is_text_and_any_other_is_not() -> None:
    text = {"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
    image = {"content": [{"type": "image_url", "image_url": {"url": "https://acme.example/cat.png"}}]}
    sound = {"content": [{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}]}
    video = {"content": [{"type": "input_video", "video_url": {"url": "https://acme.example/cat.mp4"}}]}
    file = {"content": [{"type": "input_file", "input_file": {"data": "AAAA", "format": "pdf"}}]}
    body = read(EmbeddingsBody, input=[text])
    assert isinstance(body, EmbeddingsBody)
    assert plain_texts(inputs_of(body)) == ["a\nb"]
    for other in (image, sound, video, file):
        body = read(EmbeddingsBody, input=[text, other])
        assert isinstance(body, EmbeddingsBody)
        assert len(inputs_of(body)) == 2
        assert plain_texts(inputs_of(body)) is None


def test_neither_text_nor_sound_shows_in_a_repr() -> None:
    from dialects.operations.codec import OperationRequest

    request = OperationRequest(read(EmbeddingsBody, input="a secret"), b"sound")
    assert "secret" not in repr(request)
    assert "sound" not in repr(request)
