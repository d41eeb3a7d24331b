"""A router whose every message a test decides."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any

from edge.domain.errors import DependencyError
from turnpike.router.v1 import catalog_pb2, completion_pb2, invocation_pb2, router_service_pb2
from turnpike.usage.v1 import token_usage_pb2, usage_event_pb2

Request = router_service_pb2.CompleteRequest
Message = router_service_pb2.CompleteResponse
Script = Callable[[Request], AsyncGenerator[Message, None]]
"""Answers a request. What it raises of `EdgeError` is how the router refuses or breaks off."""

OperationScript = Callable[[invocation_pb2.InvokeRequest], Awaitable[invocation_pb2.InvokeResponse]]
"""Does an operation. What it raises of `EdgeError` is how the router refuses."""

MODEL = "acme/one"
_NOTHING: tuple[Message, ...] = ()
PROMPT_PICO, COMPLETION_PICO = 1_000_000, 2_000_000


def model(name: str = MODEL, *, routable: bool = True, **price: int) -> catalog_pb2.Model:
    """A model with one endpoint."""
    amounts = {
        "prompt_pico_usd": PROMPT_PICO,
        "completion_pico_usd": COMPLETION_PICO,
        "reasoning_pico_usd": COMPLETION_PICO,
        "cached_pico_usd": PROMPT_PICO,
        "cache_write_pico_usd": PROMPT_PICO,
        **price,
    }
    endpoint = catalog_pb2.Endpoint(
        id=f"{name}@acme",
        model_id=name,
        provider="acme",
        provider_name="Acme",
        tag="acme",
        price=token_usage_pb2.Price(version="v1", **amounts),
        context_length=8_192,
        max_completion_tokens=2_048,
        supported_parameters=["max_tokens", "temperature"],
        quantization="fp8",
        routable=routable,
    )
    row = catalog_pb2.Model(
        id=name,
        canonical_slug=f"{name}-20260101",
        name="Acme: One",
        description="A model of a test.",
        context_length=8_192,
        input_modalities=["text"],
        output_modalities=["text"],
        tokenizer="Other",
        endpoints=[endpoint],
    )
    row.created_at.FromSeconds(1_767_225_600)
    return row


def route(provider_name: str = "Acme", name: str = MODEL) -> completion_pb2.Route:
    """Where an answer comes from."""
    return completion_pb2.Route(model=name, provider_name=provider_name, provider="acme", endpoint_id=f"{name}@acme")


def explained(failed: Sequence[str] = ()) -> completion_pb2.Route:
    """The same with how it was chosen, after attempts at other endpoints that answered 503."""
    answer = route()
    for provider in failed:
        answer.failed_attempts.add(endpoint_id=f"{MODEL}@{provider}", provider=provider, status_code=503)
    names = [*failed, "acme"]
    answer.metadata.CopyFrom(
        completion_pb2.RouteMetadata(
            requested_model="acme/newest",
            resolution="alias",
            strategy="share",
            region="eu-1",
            endpoints_total=len(names) + 1,
            options=[
                completion_pb2.RouteOption(provider_name=name.title(), model=MODEL, endpoint_id=f"{MODEL}@{name}")
                for name in names
            ],
        )
    )
    return answer


def piece(content: str | None = None, **members: Any) -> completion_pb2.ChoiceDelta:
    """A piece of an answer."""
    return completion_pb2.ChoiceDelta(content=content, **members)


def completed(prompt: int = 7, completion: int = 3, **members: Any) -> completion_pb2.Outcome:
    """The outcome of a complete answer, at the price of `model()`."""
    prompt_nano, completion_nano = prompt * PROMPT_PICO // 1_000, completion * COMPLETION_PICO // 1_000
    return completion_pb2.Outcome(
        status=usage_event_pb2.GENERATION_STATUS_COMPLETED,
        usage=token_usage_pb2.TokenUsage(prompt_tokens=prompt, completion_tokens=completion),
        cost_nano_usd=prompt_nano + completion_nano,
        prompt_cost_nano_usd=prompt_nano,
        completion_cost_nano_usd=completion_nano,
        **members,
    )


def broken(status: int = 502, error_type: str = "provider_unavailable") -> completion_pb2.Outcome:
    """The outcome of an answer that broke off."""
    error = completion_pb2.StreamError(status_code=status, error_type=error_type, message="The provider broke off.")
    return completion_pb2.Outcome(status=usage_event_pb2.GENERATION_STATUS_FAILED, error=error)


def speak(*words: str, outcome: completion_pb2.Outcome | None = None, pause: float = 0.0) -> Script:
    """Say these words, one a message, and end with an outcome."""

    async def script(request: Request) -> AsyncGenerator[Message, None]:
        for number, word in enumerate(words):
            yield Message(route=None if number else route(), deltas=[piece(word)])
            await asyncio.sleep(pause)
        end = piece(finish_reason="stop", native_finish_reason="end")
        yield Message(route=None if words else route(), deltas=[end], outcome=outcome or completed())

    return script


def scripted(*messages: Message) -> Script:
    """Send these messages."""

    async def script(request: Request) -> AsyncGenerator[Message, None]:
        for message in messages:
            yield message

    return script


def refuse(error: Exception) -> Script:
    """Refuse before anything is answered."""

    async def script(request: Request) -> AsyncGenerator[Message, None]:
        for message in _NOTHING:
            yield message
        raise error

    return script


def break_off(error: Exception | None, *words: str) -> Script:
    """Say these words, then fail; without an error the stream merely ends."""

    async def script(request: Request) -> AsyncGenerator[Message, None]:
        for number, word in enumerate(words):
            yield Message(route=None if number else route(), deltas=[piece(word)])
        if error is not None:
            raise error

    return script


class Stall:
    """Says some words and then nothing until it is cancelled or let go.

    Attributes:
        began: set when the words are said.
        cancelled: set when the edge gave up on the answer.
        go_on: set by a test to let the answer end well.
    """

    def __init__(self, *words: str) -> None:
        self._words = words
        self.began = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.go_on = asyncio.Event()

    async def __call__(self, request: Request) -> AsyncGenerator[Message, None]:
        """Answer."""
        try:
            for number, word in enumerate(self._words):
                yield Message(route=None if number else route(), deltas=[piece(word)])
            self.began.set()
            await self.go_on.wait()
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.set()
            raise
        end = piece("." if not self._words else None, finish_reason="stop")
        yield Message(route=None if self._words else route(), deltas=[end], outcome=completed())


class ScriptedCall:
    """One completion under way."""

    def __init__(self, messages: AsyncGenerator[Message, None]) -> None:
        self._messages = messages
        self.cancelled = False
        self.finished = False

    async def read(self) -> Message | None:
        """Return the next message; None after the last one."""
        return await anext(self._messages, None)

    async def finish(self) -> None:
        """Wait for the end."""
        self.finished = await anext(self._messages, None) is None

    def cancel(self) -> None:
        """Stop the work."""
        self.cancelled = True


async def perform(request: invocation_pb2.InvokeRequest) -> invocation_pb2.InvokeResponse:
    """Do an operation well: two vectors, every document, the last one first, a sound, a sentence, a picture."""
    answer = invocation_pb2.InvokeResponse(route=route(), outcome=completed(completion=0))
    match request.operation:
        case usage_event_pb2.OPERATION_EMBEDDINGS:
            answer.embeddings.vectors.extend([struct.pack("<2f", 0.5, -1.25), struct.pack("<2f", 0.1, 3.0)])
        case usage_event_pb2.OPERATION_RERANK:
            count = len(json.loads(request.request_json)["documents"])
            for index in reversed(range(count)):
                answer.ranking.documents.add(index=index, relevance_score=(index + 0.5) / count)
            answer.outcome.usage.search_units = 1
        case usage_event_pb2.OPERATION_SPEECH:
            answer.speech.audio, answer.speech.media_type = b"ID3sound", "audio/mpeg"
            answer.outcome.usage.characters = 5
        case usage_event_pb2.OPERATION_TRANSCRIPTION:
            answer.transcription.text = "Hello"
            segment = '{"id":0,"start":0.0,"end":1.5,"text":"Hello"}'
            answer.transcription.details_json = (
                f'{{"language":"english","duration":1.5,"segments":[{segment}]}}'.encode()
            )
            answer.outcome.usage.audio_milliseconds = 1_500
        case _:
            answer.images.images.add(data=b"\x89PNG", media_type="image/png")
            answer.images.images.add(data=b"?")
            answer.outcome.usage.images = 2
    return answer


class ScriptedRouter:
    """Answers every request with `script`.

    Attributes:
        requests: what was asked for, in order; `invocations` likewise, of operations.
        calls: made by `complete`, in order.
        models: the catalogue.
        providers: of the catalogue.
        version: of the catalogue.
        down: whether the catalogue cannot be listed.
    """

    def __init__(self, script: Script | None = None, models: Sequence[catalog_pb2.Model] | None = None) -> None:
        self.script = script or speak("Hello", " world")
        self.models = [model()] if models is None else list(models)
        self.providers: list[catalog_pb2.Provider] = []
        self.version = "1"
        self.down = False
        self.requests: list[Request] = []
        self.operation_script: OperationScript = perform
        self.invocations: list[invocation_pb2.InvokeRequest] = []
        self.calls: list[ScriptedCall] = []
        self.listed = 0

    def answer(self, request: Request) -> AsyncGenerator[Message, None]:
        """Answer a request by the script."""
        self.requests.append(request)
        return self.script(request)

    def complete(self, request: Request) -> ScriptedCall:
        """Send a request."""
        call = ScriptedCall(self.answer(request))
        self.calls.append(call)
        return call

    async def invoke(self, request: invocation_pb2.InvokeRequest) -> invocation_pb2.InvokeResponse:
        """Have an operation done, by `operation_script`."""
        self.invocations.append(request)
        return await self.operation_script(request)

    async def list_models(self, known_version: str) -> router_service_pb2.ListModelsResponse:
        """List the catalogue; without models when `known_version` is in force."""
        self.listed += 1
        if self.down:
            raise DependencyError("router")
        if known_version == self.version:
            return router_service_pb2.ListModelsResponse(version=self.version)
        return router_service_pb2.ListModelsResponse(version=self.version, models=self.models, providers=self.providers)
