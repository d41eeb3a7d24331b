"""Operations beside completions through every service: a real model of embeddings, and the simulator for the rest."""

from __future__ import annotations

import asyncio
import base64
import struct
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from openai import AsyncOpenAI, BadRequestError, NotFoundError

from e2e_support.books import Books
from e2e_support.stack import SMOLLM2, Stack

E5 = "intfloat/multilingual-e5-small"
TEXTS = ["The cat sat on the mat.", "A kitten rested on a rug.", "Interest rates rose by half a percent."]


def nano(amount: float) -> int:
    """Read back a cost that was parsed as a float; a nano-dollar is far above a float's error here."""
    return round(amount * 10**9)


def wav(seconds: float) -> bytes:
    """Silence, 8 kHz, 16 bit."""
    samples = bytes(int(16_000 * seconds) // 2 * 2)
    head = struct.pack("<4sIHHIIHH4sI", b"fmt ", 16, 1, 1, 8_000, 16_000, 2, 16, b"data", len(samples))
    return struct.pack("<4sI4s", b"RIFF", 4 + len(head) + len(samples), b"WAVE") + head + samples


def likeness(one: list[float], other: list[float]) -> float:
    """The cosine of two vectors of length 1."""
    return sum(a * b for a, b in zip(one, other, strict=True))


async def expect_booked(generation_id: str, cost: int, stack: Stack, http: aiohttp.ClientSession, books: Books) -> Any:
    """Compare a cost with the record of the generation and with the ledger; give the record."""
    assert cost > 0
    await books.wait_settled([generation_id])
    assert await books.ledger_cost(generation_id) == cost
    async with http.get(f"{stack.base_url}/generation", params={"id": generation_id}) as answer:
        assert answer.status == 200, await answer.text()
        record = (await answer.json())["data"]
    assert nano(record["total_cost"]) == cost
    return record


@pytest_asyncio.fixture
async def own(stack: Stack, books: Books) -> Any:
    """A key of its own, and a session that uses it."""
    key, secret = await books.new_key()
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {secret}"}) as session:
        yield key, secret, session


async def test_embeddings_of_a_real_model_in_both_forms(stack: Stack, books: Books, own: Any) -> None:
    key, secret, session = own
    credit_before = await books.remaining_credit()
    async with AsyncOpenAI(base_url=stack.base_url, api_key=secret, max_retries=0) as client:
        # The client asks for base64 unless it is told otherwise, and decodes it.
        packed = await client.embeddings.create(model=E5, input=TEXTS)
        numbers = await client.embeddings.create(model=E5, input=TEXTS, encoding_format="float")
    cat, kitten, rates = (item.embedding for item in packed.data)
    assert len(cat) == 384
    assert likeness(cat, cat) == pytest.approx(1.0, abs=1e-4)
    assert likeness(cat, kitten) > likeness(cat, rates)
    for one, other in zip(packed.data, numbers.data, strict=True):
        assert one.embedding == other.embedding
    assert packed.model == E5
    assert packed.usage.total_tokens == packed.usage.prompt_tokens > 10
    cost = nano((packed.usage.model_extra or {})["cost"])
    # A hundredth of a micro-dollar a token.
    assert cost == packed.usage.prompt_tokens * 10
    for answer in (packed, numbers):
        record = await expect_booked((answer.model_extra or {})["id"], cost, stack, session, books)
        assert (record["api_type"], record["provider_name"], record["model"]) == ("embeddings", "Local E", E5)
        assert record["tokens_prompt"] == packed.usage.prompt_tokens
    assert credit_before - await books.remaining_credit() == 2 * cost
    assert await books.clickhouse_cost_of_key(key) == 2 * cost


async def test_the_model_of_embeddings_is_listed_and_healthy(stack: Stack, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{stack.base_url}/embeddings/models") as answer:
        assert E5 in {model["id"] for model in (await answer.json())["data"]}
    async with http.get(f"{stack.base_url}/models") as answer:
        assert E5 not in {model["id"] for model in (await answer.json())["data"]}
    async with asyncio.timeout(60):
        while True:
            async with http.get(f"{stack.base_url}/models/{E5}/endpoints") as answer:
                (endpoint,) = (await answer.json())["data"]["endpoints"]
            if endpoint["status"] == 0:
                break
            await asyncio.sleep(0.2)


async def test_what_a_model_does_not_do_is_at_the_wrong_endpoint(client: AsyncOpenAI) -> None:
    with pytest.raises(BadRequestError) as chat:
        await client.chat.completions.create(model=E5, messages=[{"role": "user", "content": "Hello"}])
    with pytest.raises(BadRequestError) as embeddings:
        await client.embeddings.create(model=SMOLLM2, input="Hello")
    for caught in (chat, embeddings):
        body: Any = caught.value.body
        assert body["availability"]["code"] == "wrong_endpoint"


async def test_input_that_is_too_long_for_the_model_is_a_400(client: AsyncOpenAI) -> None:
    with pytest.raises(BadRequestError):
        await client.embeddings.create(model=E5, input="word " * 3_000)


async def post(session: aiohttp.ClientSession, url: str, **members: Any) -> tuple[str, Any]:
    """Ask, and give the generation's id and the answer: JSON, or bytes."""
    async with session.post(url, json=members) as answer:
        assert answer.status == 200, await answer.text()
        body = await (answer.json() if answer.content_type == "application/json" else answer.read())
        return answer.headers["X-Generation-Id"], body


async def test_every_operation_is_charged_by_what_it_used(stack: Stack, books: Books, own: Any) -> None:
    key, _, session = own
    base, total = stack.base_url, 0
    generation, answer = await post(
        session, f"{base}/rerank", model="sim/rerank", query="a cat", documents=TEXTS, top_n=2
    )
    assert answer["results"][0]["index"] in {0, 1}
    total += (cost := nano(answer["usage"]["cost"]))
    # One search.
    assert cost in {2_000_000, 3_000_000}
    assert (await expect_booked(generation, cost, stack, session, books))["api_type"] == "rerank"

    text = "Five words to be spoken"
    generation, sound = await post(session, f"{base}/audio/speech", model="sim/speech", input=text, voice="x")
    assert len(sound) > 10_000
    rate = {len(text) * 15_000, len(text) * 20_000}
    total += (cost := (await books_cost(generation, books)))
    assert cost in rate
    assert (await expect_booked(generation, cost, stack, session, books))["api_type"] == "tts"

    spoken = {"data": base64.b64encode(wav(2.5)).decode(), "format": "wav"}
    generation, answer = await post(
        session,
        f"{base}/audio/transcriptions",
        model="sim/transcription",
        input_audio=spoken,
        response_format="verbose_json",
    )
    assert (answer["usage"]["seconds"], answer["duration"]) == (2.5, 2.5)
    total += (cost := nano(answer["usage"]["cost"]))
    assert cost in {250_000, 375_000}
    assert (await expect_booked(generation, cost, stack, session, books))["api_type"] == "stt"

    generation, answer = await post(session, f"{base}/images", model="sim/images", prompt="A cat", n=3)
    assert [item["media_type"] for item in answer["data"]] == ["image/png"] * 3
    total += (cost := nano(answer["usage"]["cost"]))
    assert cost in {120_000_000, 150_000_000}
    record = await expect_booked(generation, cost, stack, session, books)
    assert (record["api_type"], record["num_media_completion"]) == ("image", 3)
    assert await books.clickhouse_cost_of_key(key) == total


async def books_cost(generation_id: str, books: Books) -> int:
    """What the ledger says, for an answer that has no place to say it."""
    await books.wait_settled([generation_id])
    return await books.ledger_cost(generation_id)


async def test_openais_client_transcribes_a_file_and_speaks(client: AsyncOpenAI) -> None:
    heard = await client.audio.transcriptions.create(model="sim/transcription", file=("a.wav", wav(1.0), "audio/wav"))
    assert heard.text == "[simulated] word word word"
    spoken = await client.audio.speech.create(
        model="sim/speech", input="Hello there", voice="alloy", response_format="wav"
    )
    assert spoken.content[:4] == b"RIFF"


async def test_vectors_of_the_simulator_have_the_length_that_was_asked_for(client: AsyncOpenAI, stack: Stack) -> None:
    answer = await client.embeddings.create(model="sim/embeddings", input="Hello", dimensions=16)
    assert len(answer.data[0].embedding) == 16
    with pytest.raises(NotFoundError):
        await client.embeddings.create(model=E5, input="Hello", dimensions=16)
