"""What is set aside for an operation is never less than what it costs, however its parts are counted."""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from contracts.money import PicoUsd, TokenCounts, UnitPrice, cost
from dialects.operations.codec import OperationRequest
from dialects.operations.requests import (
    EmbeddingsBody,
    ImagesBody,
    OperationBody,
    RerankBody,
    SpeechBody,
    TranscriptionBody,
)
from edge.domain.hold import Offer, dearest_hold
from edge.domain.operation_size import MOST_OUTPUT_TOKENS, most_of

pico = st.integers(min_value=0, max_value=10**9).map(PicoUsd)
prices = st.builds(
    UnitPrice, st.just("v"), pico, pico, pico, pico, pico, request=pico, image=pico, second=pico, character=pico,
    search_unit=pico,
)  # fmt: skip
texts = st.text(min_size=1, max_size=60)
token_lists = st.lists(st.integers(min_value=0, max_value=10**6), min_size=1, max_size=40)


def held(body: OperationBody, price: UnitPrice, audio: bytes = b"") -> int:
    offers = [Offer(price, context_length=0, max_completion_tokens=0)]
    return dearest_hold(offers, most_of(OperationRequest(body, audio)), MOST_OUTPUT_TOKENS).amount


@given(prices, st.lists(texts, min_size=1, max_size=5) | token_lists)
def test_b05_embeddings_are_covered_when_every_byte_is_a_token(price: UnitPrice, given_input: list[Any]) -> None:
    tokens = sum(len(item.encode()) for item in given_input) if isinstance(given_input[0], str) else len(given_input)
    body = EmbeddingsBody(model="acme/e", input=given_input)
    for counts in (TokenCounts(tokens, 0), TokenCounts(tokens, 0, cached=tokens), TokenCounts(tokens // 2, 0)):
        assert held(body, price) >= cost(price, counts).total


@given(prices, texts, st.lists(texts, min_size=1, max_size=250))
def test_b05_rankings_are_covered_by_tokens_and_by_searches(price: UnitPrice, query: str, documents: list[str]) -> None:
    # Each document is read together with the query.
    tokens = sum(len(text.encode()) for text in documents) + len(documents) * len(query.encode())
    units = -(-len(documents) // 100)
    body = RerankBody(model="acme/r", query=query, documents=documents)  # type: ignore[arg-type]  # texts are documents
    assert held(body, price) >= cost(price, TokenCounts(tokens, 0, search_units=units)).total


@given(prices, texts)
def test_b05_speech_is_covered_to_the_character(price: UnitPrice, text: str) -> None:
    counts = TokenCounts(len(text.encode()), 0, characters=len(text))
    assert held(SpeechBody(model="acme/s", input=text), price) >= cost(price, counts).total


@given(prices, st.integers(min_value=1, max_value=20_000))
def test_b05_transcriptions_of_plain_sound_are_covered_to_the_millisecond(price: UnitPrice, ms: int) -> None:
    samples = bytes(16 * ms)
    head = struct.pack("<4sIHHIIHH4sI", b"fmt ", 16, 1, 1, 8_000, 16_000, 2, 16, b"data", len(samples))
    sound = struct.pack("<4sI4s", b"RIFF", 4 + len(head) + len(samples), b"WAVE") + head + samples
    counts = TokenCounts(ms // 100, ms // 200, audio_ms=ms)
    assert held(TranscriptionBody(model="acme/t"), price, sound) >= cost(price, counts).total


@given(prices, texts, st.integers(min_value=1, max_value=10))
def test_b05_pictures_are_covered_by_the_piece_and_by_the_token(price: UnitPrice, prompt: str, n: int) -> None:
    counts = TokenCounts(len(prompt.encode()), 6_208 * n, images=n)
    assert held(ImagesBody(model="acme/i", prompt=prompt, n=n), price) >= cost(price, counts).total
