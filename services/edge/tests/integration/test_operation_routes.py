"""Embeddings, rankings, speech, transcriptions and pictures over HTTP: answers, money, and what is refused."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from typing import Any

import aiohttp
import pytest

from contracts.errors import ErrorReason
from edge.domain.errors import DependencyError, RefusedError
from edge.settings import HttpSettings
from edge.testing.router import model, perform
from edge.testing.stack import Answer, EdgeStack, OpenEdge
from turnpike.router.v1 import invocation_pb2
from turnpike.usage.v1 import usage_event_pb2

WAV = base64.b64encode(b"RIFF....WAVE").decode()
BODIES: dict[str, dict[str, Any]] = {
    "/embeddings": {"input": ["a", "b"]},
    "/rerank": {"query": "q", "documents": ["first", {"text": "second", "image": "https://acme.example/2.png"}]},
    "/audio/speech": {"input": "Hello", "voice": "alloy", "response_format": "mp3"},
    "/audio/transcriptions": {"input_audio": {"data": WAV, "format": "wav"}},
    "/images": {"prompt": "A cat", "n": 2, "stream": True},
}
OPERATIONS = {
    "/embeddings": usage_event_pb2.OPERATION_EMBEDDINGS,
    "/rerank": usage_event_pb2.OPERATION_RERANK,
    "/audio/speech": usage_event_pb2.OPERATION_SPEECH,
    "/audio/transcriptions": usage_event_pb2.OPERATION_TRANSCRIPTION,
    "/images": usage_event_pb2.OPERATION_IMAGES,
}


async def ask(edge: EdgeStack, path: str, **members: Any) -> Answer:
    return await edge.call("POST", path, {"model": "acme/one", **BODIES[path], **members})


async def test_embeddings_come_as_numbers_or_in_base64_and_both_agree(open_edge: OpenEdge) -> None:
    stack = await open_edge()
    numbers, packed = await ask(stack, "/embeddings"), await ask(stack, "/embeddings", encoding_format="base64")
    document = numbers.document
    assert [row["index"] for row in document["data"]] == [0, 1]
    assert document["data"][0]["embedding"] == [0.5, -1.25]
    assert (document["object"], document["model"], document["provider"]) == ("list", "acme/one", "Acme")
    # 7 tokens at 1 micro-dollar.
    assert document["usage"]["cost"] == 0.000007
    assert (document["usage"]["prompt_tokens"], document["usage"]["total_tokens"]) == (7, 7)
    for row, other in zip(document["data"], packed.document["data"], strict=True):
        assert list(struct.unpack("<2f", base64.b64decode(other["embedding"]))) == row["embedding"]
    assert numbers.headers["X-Generation-Id"] == document["id"]


async def test_a_ranking_brings_its_documents_along(open_edge: OpenEdge) -> None:
    document = (await ask(await open_edge(), "/rerank", top_n=2)).document
    assert document["results"] == [
        {"index": 1, "relevance_score": 0.75, "document": {"text": "second", "image": "https://acme.example/2.png"}},
        {"index": 0, "relevance_score": 0.25, "document": {"text": "first"}},
    ]
    assert document["usage"] == {"search_units": 1, "total_tokens": 7, "cost": 0.000007}
    assert document["provider"] == "Acme"


@pytest.mark.parametrize("index", [2, -1])
async def test_a_ranking_of_a_document_that_was_not_sent_is_a_broken_answer(open_edge: OpenEdge, index: int) -> None:
    stack = await open_edge()

    async def astray(request: invocation_pb2.InvokeRequest) -> invocation_pb2.InvokeResponse:
        answer = await perform(request)
        answer.ranking.documents[0].index = index
        return answer

    stack.around.router.operation_script = astray
    refused = await ask(stack, "/rerank")
    assert refused.status == 502
    assert "was not sent" in refused.error["message"]


async def test_speech_is_the_sound_itself(open_edge: OpenEdge) -> None:
    answer = await ask(await open_edge(), "/audio/speech")
    assert (answer.status, answer.headers["Content-Type"], answer.body) == (200, "audio/mpeg", b"ID3sound")
    assert answer.headers["X-Generation-Id"].startswith("gen-")


@pytest.mark.parametrize("verbose", [False, True])
async def test_a_transcription_is_as_long_as_it_was_asked_to_be(open_edge: OpenEdge, verbose: bool) -> None:
    members = {"response_format": "verbose_json"} if verbose else {}
    document = (await ask(await open_edge(), "/audio/transcriptions", **members)).document
    assert document["text"] == "Hello"
    assert document["usage"] == {
        "seconds": 1.5, "input_tokens": 7, "output_tokens": 0, "total_tokens": 7, "cost": 0.000007,
    }  # fmt: skip
    assert ("segments" in document, document.get("task")) == (verbose, "transcribe" if verbose else None)


async def test_pictures_come_in_base64_with_what_they_are(open_edge: OpenEdge) -> None:
    document = (await ask(await open_edge(), "/images")).document
    assert document["data"] == [
        {"b64_json": base64.b64encode(b"\x89PNG").decode(), "media_type": "image/png"},
        {"b64_json": base64.b64encode(b"?").decode()},
    ]
    assert document["usage"]["cost"] == 0.000007


async def test_the_router_is_told_who_asks_for_what(open_edge: OpenEdge) -> None:
    stack = await open_edge()
    for path, operation in OPERATIONS.items():
        assert (await ask(stack, path, provider={"only": ["acme"]}, user="someone")).status == 200
        request = stack.around.router.invocations[-1]
        assert request.operation == operation
        assert request.caller.org_id == stack.org.org_id
        # A few bytes of sound are no token yet, and there is no other price here.
        assert request.caller.hold_nano_usd > 0 or path == "/audio/transcriptions"
        sent = json.loads(request.request_json)
        assert (sent["model"], sent["provider"], sent["user"]) == ("acme/one", {"only": ["acme"]}, "someone")
    assert stack.around.router.invocations[3].audio == b"RIFF....WAVE"
    assert b"UklG" not in stack.around.router.invocations[3].request_json


async def form(stack: EdgeStack, fields: list[tuple[str, Any]], **file: Any) -> Answer:
    """Send a form as OpenAI's clients do."""
    data = aiohttp.FormData()
    for name, value in fields:
        data.add_field(name, value)
    if file:
        data.add_field("file", file["data"], filename=file.get("filename", "a.mp3"), content_type="audio/mpeg")
    else:
        data.add_field("x", b"y", filename="x")
    headers = {"Authorization": f"Bearer {stack.key}"}
    async with stack.http.post(f"{stack.url}/audio/transcriptions", data=data, headers=headers) as response:
        return Answer(response.status, response.headers, await response.read())


async def test_a_form_says_the_same_as_json(open_edge: OpenEdge) -> None:
    stack = await open_edge()
    fields = [
        ("model", "acme/one"), ("language", "en"), ("temperature", "0.5"), ("response_format", "verbose_json"),
        ("timestamp_granularities[]", "word"), ("timestamp_granularities[]", "segment"),
    ]  # fmt: skip
    answer = await form(stack, fields, data=b"sound", filename="speech.mp3")
    assert (answer.status, answer.document["text"]) == (200, "Hello")
    request = stack.around.router.invocations[0]
    assert request.audio == b"sound"
    assert json.loads(request.request_json) == {
        "model": "acme/one", "language": "en", "temperature": 0.5, "response_format": "verbose_json",
        "timestamp_granularities": ["word", "segment"], "audio_format": "mp3",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "file", "status", "param"),
    [
        ([("model", "acme/one")], {}, 400, "file"),
        ([], {"data": b"sound"}, 400, "model"),
        ([("model", "acme/one")], {"data": b""}, 400, "file"),
        ([("model", "acme/one"), ("temperature", "warm")], {"data": b"sound"}, 400, "temperature"),
        ([("model", "acme/one"), ("temperature", "nan")], {"data": b"sound"}, 400, "temperature"),
        ([("model", "acme/one"), ("response_format", "srt")], {"data": b"sound"}, 400, "response_format"),
        ([("model", "acme/one"), ("provider", "{")], {"data": b"sound"}, 400, None),
        ([("model", "acme/one"), ("language", "x" * 70_000)], {"data": b"sound"}, 413, None),
        ([("model", "acme/one")], {"data": bytes(5_000)}, 413, None),
        ([("model", "acme/one")] * 40, {"data": b"sound"}, 400, None),
    ],
)
async def test_a_form_that_is_wrong_names_its_field(
    open_edge: OpenEdge, fields: list[tuple[str, Any]], file: dict[str, Any], status: int, param: str | None
) -> None:
    stack = await open_edge(http=HttpSettings(port=0, audio_limit=4_096))
    answer = await form(stack, fields, **file)
    assert answer.status == status
    assert answer.error["metadata"].get("param") == param
    assert stack.around.router.invocations == []


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("multipart/form-data", b"x", 400),
        ("multipart/form-data; boundary=b", b"", 400),
        ("multipart/form-data; boundary=b", b"--b", 400),
        ("multipart/form-data; boundary=b", b"--b\r\n\r\nx\r\n--b--\r\n", 400),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n\xff\xfe\r\n--b--\r\n", 400),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data; name=\"file\"\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--b--\r\n", 415),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data; name=\"file\"\r\nContent-Encoding: gzip\r\n\r\nAAAA\r\n--b--\r\n", 415),
        ("multipart/mixed; boundary=b", b"--b--\r\n", 415),
        ("text/plain", b"{}", 415),
    ],
)  # fmt: skip
async def test_s30_a_form_that_is_none_is_refused(
    open_edge: OpenEdge, content_type: str, body: bytes, status: int
) -> None:
    stack = await open_edge()
    answer = await stack.call("POST", "/audio/transcriptions", body, headers={"Content-Type": content_type})
    assert answer.status == status
    assert answer.error["message"]


@pytest.mark.parametrize("path", list(BODIES))
@pytest.mark.parametrize("body", [b"", b"[]", b"5", b'{"model":', b'{"a":' * 100])
async def test_a_body_that_is_none_is_refused(open_edge: OpenEdge, path: str, body: bytes) -> None:
    answer = await (await open_edge()).call("POST", path, body)
    assert answer.status == 400
    assert answer.error["metadata"]["error_type"] == "invalid_request"


@pytest.mark.parametrize(
    ("path", "members", "param"),
    [
        ("/embeddings", {"input": []}, "input"),
        ("/embeddings", {"model": None}, "model"),
        ("/rerank", {"documents": [{}]}, "documents[0]"),
        ("/audio/speech", {"speed": 9}, "speed"),
        ("/audio/transcriptions", {"input_audio": None}, "input_audio"),
        ("/audio/transcriptions", {"input_audio": {"data": "?", "format": "wav"}}, "input_audio.data"),
        ("/audio/transcriptions", {"input_audio": {"format": "wav"}}, "input_audio.data"),
        ("/images", {"n": 0}, "n"),
    ],
)
async def test_a_member_that_is_wrong_is_named(
    open_edge: OpenEdge, path: str, members: dict[str, Any], param: str
) -> None:
    answer = await ask(await open_edge(), path, **members)
    assert (answer.status, answer.error["metadata"]["param"]) == (400, param)


async def test_sound_beyond_its_limit_is_refused_in_either_form(open_edge: OpenEdge) -> None:
    stack = await open_edge(http=HttpSettings(port=0, audio_limit=4_096))
    loud = base64.b64encode(bytes(5_000)).decode()
    answer = await ask(stack, "/audio/transcriptions", input_audio={"data": loud, "format": "wav"})
    assert (answer.status, answer.error["metadata"]["error_type"]) == (413, "payload_too_large")
    louder = base64.b64encode(bytes(100_000)).decode()
    answer = await ask(stack, "/audio/transcriptions", input_audio={"data": louder, "format": "wav"})
    assert answer.status == 413


@pytest.mark.parametrize("path", list(BODIES))
async def test_the_dearest_outcome_is_held_and_what_it_cost_is_charged(open_edge: OpenEdge, path: str) -> None:
    stack = await open_edge()
    stack.around.router.models = [
        model(second_pico_usd=10**12, character_pico_usd=10**12, image_pico_usd=10**12, search_unit_pico_usd=10**12)
    ]
    stack.around.router.version = "2"

    async def priced() -> bool:
        answer = await stack.call("GET", "/models/acme/one/endpoints")
        return "character" in answer.document["data"]["endpoints"][0]["pricing"]

    async with asyncio.timeout(20):
        while True:
            if await priced():
                break
            await asyncio.sleep(0.05)
    assert (await ask(stack, path)).status == 200
    hold = stack.around.router.invocations[-1].caller.hold_nano_usd
    least = {
        # Seven tokens at a micro-dollar are what the double counts.
        "/embeddings": 7_000,
        "/rerank": 10**9,
        "/audio/speech": 5 * 10**9,
        # 12 bytes of something that calls itself sound are 16 ms at most.
        "/audio/transcriptions": 16 * 10**6,
        "/images": 2 * 10**9,
    }
    assert hold >= least[path]


@pytest.mark.parametrize("path", list(BODIES))
async def test_a_refusal_of_the_router_is_the_callers_and_holds_nothing(open_edge: OpenEdge, path: str) -> None:
    stack = await open_edge()

    async def refuses(request: invocation_pb2.InvokeRequest) -> invocation_pb2.InvokeResponse:
        raise RefusedError(
            ErrorReason.INVALID_REQUEST,
            "acme/one does not answer here",
            {"http_status": "400", "param": "model", "availability": '{"code":"wrong_endpoint","retryable":false}'},
        )

    stack.around.router.operation_script = refuses
    answer = await ask(stack, path)
    assert (answer.status, answer.error["availability"]["code"]) == (400, "wrong_endpoint")
    stack.around.router.operation_script = perform
    assert (await ask(stack, path)).status == 200


@pytest.mark.parametrize("path", list(BODIES))
async def test_a_router_that_is_away_is_a_503(open_edge: OpenEdge, path: str) -> None:
    stack = await open_edge()

    async def dies(request: invocation_pb2.InvokeRequest) -> invocation_pb2.InvokeResponse:
        raise DependencyError("router")

    stack.around.router.operation_script = dies
    answer = await ask(stack, path)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "2")


@pytest.mark.parametrize("path", list(BODIES))
async def test_operations_want_an_inference_key(open_edge: OpenEdge, path: str) -> None:
    stack = await open_edge()
    body = {"model": "acme/one", **BODIES[path]}
    assert (await stack.call("POST", path, body, key="")).status == 401
    assert (await stack.call("POST", path, body, key=stack.management_key)).status == 403


async def test_a_caller_that_leaves_stops_the_router(open_edge: OpenEdge) -> None:
    stack = await open_edge()
    began, cancelled = asyncio.Event(), asyncio.Event()

    async def waits(request: invocation_pb2.InvokeRequest) -> invocation_pb2.InvokeResponse:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError("nothing sets it")

    stack.around.router.operation_script = waits
    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(ask(stack, "/embeddings"))
        await began.wait()
        asking.cancel()
    async with asyncio.timeout(10):
        await cancelled.wait()


async def test_models_that_make_pictures_are_listed_with_what_they_cost(open_edge: OpenEdge) -> None:
    stack = await open_edge()
    painter = model("acme/painter", image_pico_usd=40_000_000_000, prompt_pico_usd=0, completion_pico_usd=0)
    painter.output_modalities[:] = ["image"]
    painter.endpoints[0].supported_parameters[:] = ["n", "size"]
    stack.around.router.models = [model(), painter]
    stack.around.router.version = "2"
    async with asyncio.timeout(20):
        while True:
            listed = (await stack.call("GET", "/images/models")).document["data"]
            if listed:
                break
            await asyncio.sleep(0.05)
    (row,) = listed
    assert row["id"] == "acme/painter"
    assert row["supported_parameters"]["n"] == {"type": "range", "min": 1, "max": 10}
    endpoints = (await stack.call("GET", "/images/models/acme/painter/endpoints")).document
    assert endpoints["endpoints"][0]["pricing"] == [{"billable": "output_image", "unit": "image", "cost_usd": 0.04}]
    assert (await stack.call("GET", "/images/models/acme/one/endpoints")).status == 404
