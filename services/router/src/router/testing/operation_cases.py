"""Operations of tests: of each a request and a good answer, and the faults of providers."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from contracts.operations import Operation
from dialects.operations.products import Embeddings, Images, Product, Ranking, Speech, Transcription
from dialects.operations.requests import (
    EmbeddingsBody,
    ImagesBody,
    OperationBody,
    RerankBody,
    SpeechBody,
    TranscriptionBody,
)
from router.domain.attempts import FailureKind
from router.domain.tokens import CountSource
from router.testing.catalogs import Offer
from router.testing.scripted_provider import Exchange, Script

MODEL = "acme/one"
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(8)).decode()


@dataclass(frozen=True)
class Case:
    """An operation: a request, a provider's good answer to it, and what it must come to."""

    operation: Operation
    writes: str
    body: OperationBody
    path: str
    answer: Any
    product: type[Product]
    cost: int
    """In nano-dollars at the prices of provider b, which are twice those of a."""
    prices: dict[str, str] = field(default_factory=dict)
    source: CountSource = CountSource.PROVIDER
    audio: bytes = b""
    media_type: str = "application/json"
    too_much: Any = None
    """An answer with more than was asked for."""


CASES = {
    "embeddings": Case(
        Operation.EMBEDDINGS,
        "embeddings",
        EmbeddingsBody(model=MODEL, input=["a", "b"]),
        "/v1/embeddings",
        {"data": [{"index": 1, "embedding": [0.5]}, {"index": 0, "embedding": [0.25]}], "usage": {"prompt_tokens": 9}},
        Embeddings,
        # 9 tokens at 2 micro-dollars.
        18_000,
        too_much={"data": [{"index": index, "embedding": [0.5]} for index in range(3)]},
    ),
    "rerank": Case(
        Operation.RERANK,
        "rerank",
        RerankBody(model=MODEL, query="q", documents=["a", "b"]),
        "/v1/rerank",
        {
            "results": [{"index": 0, "relevance_score": 0.1}, {"index": 1, "relevance_score": 0.2}],
            "usage": {"total_tokens": 9},
        },
        Ranking,
        # 9 tokens, and one search at 2 milli-dollars.
        2_018_000,
        {"search_unit": "0.001"},
        too_much={"results": [{"index": index, "relevance_score": 0.1} for index in (0, 1, 1)]},
    ),
    "speech": Case(
        Operation.SPEECH,
        "speech",
        SpeechBody(model=MODEL, input="Hello", response_format="mp3"),
        "/v1/audio/speech",
        b"ID3" + bytes(100),
        Speech,
        # 5 characters at 30 micro-dollars.
        150_000,
        {"prompt": "0", "completion": "0", "character": "0.000015"},
        source=CountSource.MEASURED,
        media_type="audio/mpeg",
    ),
    "transcription": Case(
        Operation.TRANSCRIPTION,
        "transcription",
        TranscriptionBody(model=MODEL),
        "/v1/audio/transcriptions",
        {"text": "Hello", "duration": 2.5},
        Transcription,
        # 2.5 seconds at 200 micro-dollars.
        500_000,
        {"prompt": "0", "completion": "0", "second": "0.0001"},
        audio=b"ID3" + bytes(100),
        too_much={"text": "Hello"},
    ),
    "images": Case(
        Operation.IMAGES,
        "image",
        ImagesBody(model=MODEL, prompt="A cat", n=2),
        "/v1/images/generations",
        {"data": [{"b64_json": PNG}, {"b64_json": PNG}]},
        Images,
        # 2 images at 8 cents.
        160_000_000,
        {"prompt": "0", "completion": "0", "image": "0.04"},
        source=CountSource.MEASURED,
        too_much={"data": [{"b64_json": PNG}] * 3},
    ),
}


def good(case: Case) -> Script:
    """Answer well."""

    async def script(exchange: Exchange) -> None:
        await exchange.reply(case.answer, kind=case.media_type)

    return script


def doubled(prices: dict[str, str], times: int) -> dict[str, str]:
    """Prices so many times as high."""

    return {kind: f"{float(amount) * times:.12f}" for kind, amount in prices.items()}


def offers(case: Case, *urls: str) -> list[Offer]:
    """Endpoints of the operation at these addresses, each dearer than the one before."""

    return [
        Offer(
            slug,
            url=url,
            prompt=f"0.00000{number}",
            completion="0",
            prices=doubled(case.prices, number),
            output_modalities=(case.writes,),
            parameters=("n", "encoding_format", "response_format"),
        )
        for number, (slug, url) in enumerate(zip("ab", urls, strict=False), start=1)
    ]


Fault = Callable[[Case], Script]


def status(code: int, headers: dict[str, str] | None = None) -> Fault:
    """Refuse with a status."""

    def make(case: Case) -> Script:
        async def script(exchange: Exchange) -> None:
            await exchange.reply({"error": {"message": "no", "type": "server_error"}}, code, headers)

        return script

    return make


def body(data: bytes, kind: str = "application/json") -> Fault:
    """Answer with a body."""

    def make(case: Case) -> Script:
        async def script(exchange: Exchange) -> None:
            await exchange.reply(data, kind=kind)

        return script

    return make


def cut(case: Case) -> Script:
    """Break off in the middle of the answer."""

    async def script(exchange: Exchange) -> None:
        await exchange.head(200, {"Content-Type": case.media_type, "Content-Length": "1000"})
        await exchange.send(b'{"data": [')
        exchange.close()

    return script


def reset(case: Case) -> Script:
    """Break the connection."""

    async def script(exchange: Exchange) -> None:
        exchange.reset()

    return script


def mute(case: Case) -> Script:
    """Say nothing."""

    async def script(exchange: Exchange) -> None:
        await exchange.gone()

    return script


def stalls(case: Case) -> Script:
    """Begin an answer and say no more."""

    async def script(exchange: Exchange) -> None:
        await exchange.head(200, {"Content-Type": case.media_type, "Content-Length": "1000"})
        await exchange.send(b'{"data": [')
        await exchange.gone()

    return script


def too_much(case: Case) -> Script:
    """Answer with more than was asked for."""

    async def script(exchange: Exchange) -> None:
        await exchange.reply(case.too_much)

    return script


BAD = FailureKind.BAD_ANSWER
FAULTS: dict[str, tuple[Fault, FailureKind]] = {
    "500": (status(500), FailureKind.SERVER_ERROR),
    "503": (status(503), FailureKind.OVERLOADED),
    "429": (status(429, {"Retry-After": "7"}), FailureKind.RATE_LIMITED),
    "401": (status(401), FailureKind.KEY_REJECTED),
    "302": (status(302, {"Location": "http://127.0.0.1:9/"}), BAD),
    "200 with HTML": (body(b"<html>Sign in</html>", "text/html"), BAD),
    "200 with HTML that calls itself JSON": (body(b"<html>Sign in</html>"), BAD),
    "200 with an error": (body(b'{"error": {"message": "down", "type": "server_error"}}'), FailureKind.SERVER_ERROR),
    "an empty object": (body(b"{}"), BAD),
    "an empty body": (body(b""), BAD),
    "truncated JSON": (body(b'{"data": [{"index": 0, "embedding": [0.'), BAD),
    "cut": (cut, BAD),
    "reset": (reset, FailureKind.CONNECT),
    "too long": (body(b'{"x": "' + bytes(200_000) + b'"}'), BAD),
}
SILENT: dict[str, Fault] = {"mute": mute, "stalls": stalls}
