"""Embeddings, rankings, speech, transcriptions and pictures, made up; with the same faults as completions."""

from __future__ import annotations

import asyncio
import base64
import struct
import zlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict
from random import Random
from typing import Any

import msgspec
from aiohttp import web

from sim.answer import CREATED, Json, digest, strikes
from sim.behaviour import Behaviour, Fault, UnknownModelError, parse_behaviour
from sim.chat import ConnectionBrokenError, Count, fault_instead, refusal, serve_whole

DIMENSIONS = 8
_MAX_DIMENSIONS = 4_096
# A second of 8 kHz, 16 bit, one channel.
_BYTES_PER_SECOND = 16_000
_WORDS_PER_SECOND = 3

Made = tuple[bytes, str]


class Operations:
    """Serves them; remembers only what it counts."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._counts: defaultdict[str, Count] = defaultdict(Count)

    def counts(self) -> dict[str, dict[str, int]]:
        """Counts by model name."""
        return {model: asdict(count) for model, count in self._counts.items()}

    async def embeddings(self, request: web.Request) -> web.StreamResponse:
        """`POST /v1/embeddings`."""
        return await self._json(request, ("input",), self._embeddings)

    async def rerank(self, request: web.Request) -> web.StreamResponse:
        """`POST /v1/rerank`."""
        return await self._json(request, ("query", "documents"), self._ranking)

    async def speech(self, request: web.Request) -> web.StreamResponse:
        """`POST /v1/audio/speech`."""
        return await self._json(request, ("input", "voice"), self._speech)

    async def images(self, request: web.Request) -> web.StreamResponse:
        """`POST /v1/images/generations`."""
        return await self._json(request, ("prompt",), self._images)

    async def transcriptions(self, request: web.Request) -> web.StreamResponse:
        """`POST /v1/audio/transcriptions`."""
        if request.content_type != "multipart/form-data":
            return refusal(415, "simulated: a form is wanted", "invalid_request_error")
        form = await request.post()
        file, model = form.get("file"), form.get("model")
        if not isinstance(file, web.FileField) or not isinstance(model, str):
            return refusal(400, "simulated: model and file are required", "invalid_request_error")
        document: Json = {"model": model, "sound": file.file.read(), "format": form.get("response_format")}
        return await self._perform(request, document, self._transcription)

    async def _json(
        self, request: web.Request, required: tuple[str, ...], make: Callable[[Json, Behaviour, Fault | None], Made]
    ) -> web.StreamResponse:
        try:
            document = msgspec.json.decode(await request.read(), type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return refusal(400, f"simulated: {error}", "invalid_request_error")
        for name in ("model", *required):
            if not document.get(name):
                return refusal(400, f"simulated: {name} is required", "invalid_request_error")
        return await self._perform(request, document, make)

    async def _perform(
        self, request: web.Request, document: Json, make: Callable[[Json, Behaviour, Fault | None], Made]
    ) -> web.StreamResponse:
        model = document["model"]
        try:
            behaviour = parse_behaviour(model)
        except UnknownModelError as error:
            return refusal(404, f"simulated: {error}", "invalid_request_error", code="model_not_found")
        count = self._counts[model]
        count.started += 1
        prompt = [{"content": repr(sorted(document))}]
        fault = strikes(self._seed, model, behaviour, prompt, count.started)
        try:
            response = await fault_instead(request, behaviour, fault)
            if response is None:
                body, media_type = make(document, behaviour, fault)
                if fault is Fault.EMPTY:
                    body = b"{}" if media_type == "application/json" else b""
                response = await serve_whole(request, body, media_type, behaviour, fault, tokens=1)
        except (asyncio.CancelledError, ConnectionError):
            count.cancelled += 1
            raise
        except ConnectionBrokenError:
            count.cancelled += 1
            return web.Response()
        count.finished += response.status == 200
        count.refused += response.status != 200
        return response

    def _embeddings(self, document: Json, behaviour: Behaviour, fault: Fault | None) -> Made:
        given = document["input"]
        inputs = [given] if isinstance(given, str) or (given and isinstance(given[0], int)) else list(given)
        size = min(int(document.get("dimensions") or DIMENSIONS), _MAX_DIMENSIONS)
        vectors = [self._vector(repr(item), size) for item in inputs]
        if fault is Fault.WRONG_COUNT:
            vectors = [*vectors, vectors[0]]
        in_base64 = document.get("encoding_format") == "base64"
        rows = [
            {
                "object": "embedding",
                "index": index,
                "embedding": base64.b64encode(vector).decode()
                if in_base64
                else list(struct.unpack(f"<{size}f", vector)),
            }
            for index, vector in enumerate(vectors)
        ]
        tokens = sum(len(item.split()) + 1 if isinstance(item, str) else len(item) for item in inputs)
        return self._document(document, {"object": "list", "data": rows}, fault, tokens)

    def _ranking(self, document: Json, behaviour: Behaviour, fault: Fault | None) -> Made:
        """The more words of the query a document has, the more relevant it is."""
        wanted = set(str(document["query"]).lower().split())
        scored = sorted(
            (-len(wanted & set(str(text).lower().split())) / max(len(wanted), 1), index)
            for index, text in enumerate(document["documents"])
        )
        kept = scored[: document.get("top_n") or len(scored)]
        if fault is Fault.WRONG_COUNT:
            kept = [*kept, kept[0]]
        rows = [{"index": index, "relevance_score": -score} for score, index in kept]
        tokens = sum(len(str(text).split()) for text in document["documents"]) + len(wanted)
        return self._document(document, {"results": rows}, fault, tokens)

    def _speech(self, document: Json, behaviour: Behaviour, fault: Fault | None) -> Made:
        """Silence as long as it takes to say the words: as it is for `pcm`, else as WAV."""
        samples = bytes(len(str(document["input"]).split()) * _BYTES_PER_SECOND // _WORDS_PER_SECOND // 2 * 2)
        if document.get("response_format") == "pcm":
            return samples, "audio/pcm"
        head = struct.pack("<4sIHHIIHH4sI", b"fmt ", 16, 1, 1, 8_000, _BYTES_PER_SECOND, 2, 16, b"data", len(samples))
        return struct.pack("<4sI4s", b"RIFF", 4 + len(head) + len(samples), b"WAVE") + head + samples, "audio/wav"

    def _transcription(self, document: Json, behaviour: Behaviour, fault: Fault | None) -> Made:
        seconds = max(len(document["sound"]) - 44, 0) / _BYTES_PER_SECOND
        words = ["[simulated]", *(["word"] * round(seconds * _WORDS_PER_SECOND))]
        made: Json = {"text": " ".join(words)}
        if document["format"] == "verbose_json" and fault is not Fault.MISSING_USAGE:
            segment = {"id": 0, "start": 0.0, "end": seconds, "text": made["text"]}
            made |= {"task": "transcribe", "language": "english", "duration": seconds, "segments": [segment]}
        return msgspec.json.encode(made), "application/json"

    def _images(self, document: Json, behaviour: Behaviour, fault: Fault | None) -> Made:
        """Squares of one pixel, each of a colour of its own."""
        count = int(document.get("n") or 1) + (fault is Fault.WRONG_COUNT)
        random = Random(digest(self._seed, document["model"], str(document["prompt"])))
        pictures = [base64.b64encode(_pixel(random.randbytes(3))).decode() for _ in range(count)]
        return msgspec.json.encode(
            {"created": CREATED, "data": [{"b64_json": each} for each in pictures]}
        ), "application/json"

    def _vector(self, text: str, size: int) -> bytes:
        random = Random(digest(self._seed, text))
        numbers = [random.gauss() for _ in range(size)]
        length = sum(number * number for number in numbers) ** 0.5 or 1.0
        return struct.pack(f"<{size}f", *(number / length for number in numbers))

    def _document(self, document: Json, members: Json, fault: Fault | None, tokens: int) -> Made:
        usage = {} if fault is Fault.MISSING_USAGE else {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
        return msgspec.json.encode({"model": document["model"], **members, **usage}), "application/json"


def _pixel(colour: bytes) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\x00" + colour))
        + chunk(b"IEND", b"")
    )
