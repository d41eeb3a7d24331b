"""Answers to operations in every dialect: the good ones, and all that are none."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialects.errors import UnsupportedRequestError, UpstreamAnswerError
from dialects.operations.codec import OperationRequest, operation_from_document
from dialects.operations.media import most_audio_ms, picture_type, wav_ms
from dialects.operations.products import Embeddings, Images, Ranking, Speech, Transcription
from dialects.operations.registry import MAX_PRODUCT_BYTES, operation_request
from dialects.operations.requests import (
    EmbeddingsBody,
    ImagesBody,
    OperationBody,
    RerankBody,
    SpeechBody,
    TranscriptionBody,
)
from dialects.operations.vectors import floats_of, vector_from
from dialects.upstream import Target, UpstreamRequest

ALL = frozenset({"dimensions", "encoding_format", "input_type", "speed", "n", "size", "response_format"})
PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)
JSON = "application/json"


def write(
    dialect: str,
    kind: type[OperationBody],
    audio: bytes = b"",
    *,
    supported: frozenset[str] = ALL,
    priced: frozenset[str] = frozenset(),
    quirks: frozenset[str] = frozenset(),
    **members: Any,
) -> UpstreamRequest:
    body = operation_from_document({"model": "acme/m", **members}, kind)
    target = Target("the-model", supported, stream=False, priced=priced, quirks=quirks)
    return operation_request(dialect, OperationRequest(body, audio), target)


def answer(request: UpstreamRequest, document: Any, media_type: str = JSON) -> Any:
    assert request.read is not None
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return request.read(body, media_type)


def wav(seconds: float, rate: int = 8_000) -> bytes:
    samples = bytes(2 * int(seconds * rate))
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    rest = head + struct.pack("<4sI", b"data", len(samples)) + samples
    return struct.pack("<4sI4s", b"RIFF", 4 + len(rest), b"WAVE") + rest


floats32 = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=40)


@given(floats32)
def test_base64_and_numbers_are_the_same_vector(numbers: list[float]) -> None:
    packed = struct.pack(f"<{len(numbers)}f", *numbers)
    assert vector_from(numbers) == vector_from(base64.b64encode(packed).decode()) == packed
    assert floats_of(packed) == numbers


@pytest.mark.parametrize(
    "value",
    [None, [], "", {}, "!", "AAA=", ["a"], [None], [1e300], [float("inf")], [10**400], base64.b64encode(struct.pack("<f", float("nan"))).decode()],
)  # fmt: skip
def test_what_is_no_vector_is_refused(value: Any) -> None:
    with pytest.raises(UpstreamAnswerError):
        vector_from(value)


EMBED: dict[str, Any] = {
    "openai-compatible": lambda *vectors: {
        "data": [{"index": place, "embedding": vector} for place, vector in enumerate(vectors)],
        "usage": {"prompt_tokens": 5, "total_tokens": 5},
    },
    "cohere": lambda *vectors: {"embeddings": {"float": list(vectors)}, "meta": {"billed_units": {"input_tokens": 5}}},
    "gemini": lambda *vectors: {
        "embeddings": [{"values": vector} for vector in vectors],
        "usageMetadata": {"promptTokenCount": 5},
    },
}
EMBED["azure-openai"] = EMBED["openai-compatible"]


@pytest.mark.parametrize("dialect", list(EMBED))
def test_embeddings_in_every_dialect(dialect: str) -> None:
    request = write(dialect, EmbeddingsBody, input=["a", "b"], dimensions=2, input_type="query")
    document = json.loads(request.body)
    assert "the-model" in request.path + json.dumps(document)
    read = answer(request, EMBED[dialect]([0.5, 1.0], [0.25, -1.0]))
    assert isinstance(read.product, Embeddings)
    assert [floats_of(vector) for vector in read.product.vectors] == [[0.5, 1.0], [0.25, -1.0]]
    assert read.usage.prompt == 5


@pytest.mark.parametrize("dialect", list(EMBED))
@pytest.mark.parametrize(
    "vectors", [[], [[1.0, 2.0]], [[1.0, 2.0]] * 3, [[1.0], [2.0]], [[1.0, 2.0], [1.0]], [[1.0, 2.0], None]]
)
def test_a_wrong_number_or_length_of_vectors_is_no_answer(dialect: str, vectors: list[Any]) -> None:
    with pytest.raises(UpstreamAnswerError):
        answer(write(dialect, EmbeddingsBody, input=["a", "b"], dimensions=2), EMBED[dialect](*vectors))


@pytest.mark.parametrize("dialect", list(EMBED))
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"data": [{"index"'])
def test_what_is_not_the_dialect_is_no_answer(dialect: str, body: bytes) -> None:
    with pytest.raises(UpstreamAnswerError):
        answer(write(dialect, EmbeddingsBody, input="a"), body)


def test_vectors_come_in_the_order_of_the_inputs_whatever_the_order_of_the_answer() -> None:
    request = write("openai-compatible", EmbeddingsBody, input=["a", "b"])
    rows = [{"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": [1.0]}]
    vectors = answer(request, {"data": rows}).product.vectors
    assert [floats_of(vector) for vector in vectors] == [[1.0], [2.0]]
    for wrong in ([0, 0], [0, 2], [0, -1], [0, "1"]):
        with pytest.raises(UpstreamAnswerError):
            answer(request, {"data": [{"index": index, "embedding": [1.0]} for index in wrong]})


def test_tokens_go_where_they_are_understood() -> None:
    request = write("openai-compatible", EmbeddingsBody, input=[[1, 2], [3]])
    assert json.loads(request.body)["input"] == [[1, 2], [3]]
    for dialect in ("cohere", "gemini"):
        with pytest.raises(UnsupportedRequestError):
            write(dialect, EmbeddingsBody, input=[1, 2])


@pytest.mark.parametrize("dialect", list(EMBED))
def test_a_length_that_an_endpoint_cannot_make_is_never_dropped(dialect: str) -> None:
    with pytest.raises(UnsupportedRequestError, match="dimensions"):
        write(dialect, EmbeddingsBody, input="a", dimensions=2, supported=frozenset())


@pytest.mark.parametrize("dialect", ["anthropic", "bedrock", "ollama"])
def test_dialects_of_completions_only_say_so(dialect: str) -> None:
    with pytest.raises(UnsupportedRequestError):
        write(dialect, EmbeddingsBody, input="a")


def test_azure_asks_at_its_resource() -> None:
    assert write("azure-openai", EmbeddingsBody, input="a").path == "/openai/v1/embeddings"
    path = write("azure-openai", EmbeddingsBody, input="a", quirks=frozenset({"deployment-path"})).path
    assert path.startswith("/openai/deployments/the-model/embeddings?api-version=")


@pytest.mark.parametrize(("given_type", "sent"), [("query", "search_query"), ("passage", "search_document"), (None, "search_document"), ("clustering", "clustering")])  # fmt: skip
def test_cohere_is_always_told_what_a_text_is(given_type: str | None, sent: str) -> None:
    request = write("cohere", EmbeddingsBody, input="a", input_type=given_type)
    assert json.loads(request.body)["input_type"] == sent


@pytest.mark.parametrize("dialect", ["openai-compatible", "cohere"])
def test_rankings_come_the_most_relevant_first_and_whole(dialect: str) -> None:
    request = write(dialect, RerankBody, query="q", documents=["a", {"text": "b"}, "c"], top_n=2)
    assert json.loads(request.body)["documents"] == ["a", "b", "c"]
    rows = [{"index": 0, "relevance_score": 0.1}, {"index": 2, "relevance_score": 0.9}]
    read = answer(request, {"results": rows, "meta": {"billed_units": {"search_units": 1}}})
    assert isinstance(read.product, Ranking)
    assert [(each.index, each.relevance_score) for each in read.product.documents] == [(2, 0.9), (0, 0.1)]
    for wrong in (
        [],
        rows[:1],
        [*rows, {"index": 1, "relevance_score": 0.5}],
        [rows[0], rows[0]],
        [rows[0], {"index": 3, "relevance_score": 1}],
        [rows[0], {"relevance_score": 1}],
        [rows[0], {"index": 1, "relevance_score": "high"}],
    ):
        with pytest.raises(UpstreamAnswerError):
            answer(request, {"results": wrong})


def test_documents_with_pictures_are_never_ranked_by_their_text_alone() -> None:
    for dialect in ("openai-compatible", "cohere"):
        with pytest.raises(UnsupportedRequestError):
            write(dialect, RerankBody, query="q", documents=[{"text": "a", "image": "https://acme.example/a.png"}])


def test_speech_is_sound_or_no_answer() -> None:
    request = write("openai-compatible", SpeechBody, input="Hello", response_format="mp3", speed=1.5)
    assert json.loads(request.body) == {
        "model": "the-model", "input": "Hello", "voice": "alloy", "response_format": "mp3", "speed": 1.5,
    }  # fmt: skip
    assert answer(request, b"ID3sound", "audio/mpeg").product == Speech(b"ID3sound", "audio/mpeg")
    assert answer(request, b"sound", "application/octet-stream").product == Speech(b"sound", "audio/mpeg")
    assert answer(request, {"error": {"message": "overloaded", "code": 503}}).error is not None
    for body, media_type in ((b"", "audio/mpeg"), (b"<html>", "text/plain"), (b'{"a": 1}', JSON)):
        with pytest.raises(UpstreamAnswerError):
            answer(request, body, media_type)
    with pytest.raises(UnsupportedRequestError):
        write("openai-compatible", SpeechBody, input="Hello", priced=frozenset({"completion"}))


def test_a_transcription_is_asked_for_in_a_form() -> None:
    sound = wav(1.5)
    request = write(
        "openai-compatible", TranscriptionBody, sound, language="en\r\nX: y", temperature=0.5, audio_format="wav"
    )
    kind, _, boundary = request.headers["Content-Type"].partition("; boundary=")
    assert kind == "multipart/form-data"
    parts = request.body.split(f"--{boundary}".encode())
    assert parts[0] == b""
    assert parts[-1] == b"--\r\n"
    heads = [part.split(b"\r\n\r\n")[0] for part in parts[1:-1]]
    names = [head.split(b'name="')[1].split(b'"')[0] for head in heads]
    assert names == [b"model", b"response_format", b"language", b"temperature", b"file"]
    assert b'filename="audio.wav"' in heads[-1]
    assert b"\r\nX: y" not in request.body
    assert sound in request.body


def test_a_transcription_that_is_paid_by_the_second_says_how_many() -> None:
    by_second = frozenset({"second"})
    packed = write("openai-compatible", TranscriptionBody, b"ID3..", priced=by_second)
    assert b"verbose_json" in packed.body
    with pytest.raises(UpstreamAnswerError, match="duration"):
        answer(packed, {"text": "Hello"})
    assert answer(packed, {"text": "Hello", "duration": 1.2345}).usage.audio_ms == 1_235
    assert answer(packed, {"text": "Hello", "duration": "1.5"}).usage.audio_ms == 1_500
    assert answer(packed, {"text": "Hello", "usage": {"type": "duration", "seconds": 2}}).usage.audio_ms == 2_000
    measured = write("openai-compatible", TranscriptionBody, wav(1.5), priced=by_second)
    assert answer(measured, {"text": "Hello"}).usage.audio_ms == 1_500
    by_token = write("openai-compatible", TranscriptionBody, b"ID3..", priced=frozenset({"prompt"}))
    with pytest.raises(UpstreamAnswerError, match="token"):
        answer(by_token, {"text": "Hello"})
    assert answer(by_token, {"text": "Hello", "usage": {"input_tokens": 9, "output_tokens": 2}}).usage.completion == 2


def test_a_verbose_transcription_keeps_what_is_typed_as_it_must_be() -> None:
    request = write("openai-compatible", TranscriptionBody, b"x", response_format="verbose_json")
    product = answer(
        request,
        {
            "text": "Hello",
            "language": "english",
            "duration": 2.0,
            "segments": [
                {"start": 0, "end": 2.0, "text": "Hello", "extra": 1},
                {"start": "0", "end": 1, "text": "x"},
                5,
            ],
            "words": [{"word": "Hello", "start": 0.0, "end": 1.0}, {"word": 5}],
        },
    ).product
    assert product == Transcription(
        "Hello",
        {
            "language": "english",
            "duration": 2.0,
            "segments": [{"id": 0, "start": 0, "end": 2.0, "text": "Hello"}],
            "words": [{"word": "Hello", "start": 0.0, "end": 1.0}],
        },
    )
    for wrong in ({}, {"text": None}, {"text": 5}):
        with pytest.raises(UpstreamAnswerError):
            answer(request, wrong)


def test_pictures_are_whole_or_no_answer() -> None:
    request = write("openai-compatible", ImagesBody, prompt="A cat", n=2, aspect_ratio="16:9", resolution="1K")
    sent = json.loads(request.body)
    assert sent == {
        "model": "the-model", "prompt": "A cat", "n": 2, "size": "1824x1024", "response_format": "b64_json",
    }  # fmt: skip
    encoded = base64.b64encode(PNG).decode()
    read = answer(request, {"data": [{"b64_json": encoded}], "usage": {"input_tokens": 3, "output_tokens": 40}})
    assert isinstance(read.product, Images)
    assert read.product.images[0].media_type == "image/png"
    assert (read.usage.images, read.usage.prompt, read.usage.completion) == (1, 3, 40)
    for rows in (
        [],
        [{"b64_json": encoded}] * 3,
        [{"url": "http://169.254.169.254/"}],
        [{"b64_json": "%"}],
        [{"b64_json": ""}],
    ):
        with pytest.raises(UpstreamAnswerError):
            answer(request, {"data": rows})
    by_token = write("openai-compatible", ImagesBody, prompt="A cat", priced=frozenset({"completion"}))
    with pytest.raises(UpstreamAnswerError, match="token"):
        answer(by_token, {"data": [{"b64_json": encoded}]})


def test_what_would_change_a_picture_is_never_dropped() -> None:
    reference = {"type": "image_url", "image_url": {"url": "https://acme.example/cat.png"}}
    for members in ({"input_references": [reference]}, {"n": 2}):
        with pytest.raises(UnsupportedRequestError):
            write("openai-compatible", ImagesBody, prompt="A cat", supported=frozenset(), **members)


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"RIFF\x00\x00\x00\x00WEBP", "image/webp"),
        (b' <svg xmlns="">', "image/svg+xml"),
        (b"<?xml?><svg/>", "image/svg+xml"),
        (b"hello", ""),
        (b"", ""),
    ],
)
def test_a_picture_is_told_by_its_bytes(data: bytes, media_type: str) -> None:
    assert picture_type(data) == media_type


@given(st.binary(max_size=200))
def test_any_bytes_have_a_longest_length(data: bytes) -> None:
    assert most_audio_ms(data) >= 0
    assert wav_ms(b"RIFF" + data) is None or most_audio_ms(b"RIFF" + data) >= 0


def test_the_length_of_sound_goes_by_what_decoders_go_by() -> None:
    sound = wav(2.0)
    lying = sound[:28] + struct.pack("<I", 2**31) + sound[32:]
    assert wav_ms(sound) == wav_ms(lying) == most_audio_ms(lying) == 2_000
    # A size of a stream that nobody knew: what is there counts.
    assert wav_ms(sound[:40] + b"\xff\xff\xff\xff" + sound[44:]) == 2_000
    assert most_audio_ms(bytes(7_500)) == 10_000


def test_what_could_not_be_handed_on_is_no_answer() -> None:
    request = write("openai-compatible", SpeechBody, input="Hello")
    assert answer(request, bytes(MAX_PRODUCT_BYTES), "audio/pcm").product is not None
    with pytest.raises(UpstreamAnswerError, match="handed on"):
        answer(request, bytes(MAX_PRODUCT_BYTES + 1), "audio/pcm")
