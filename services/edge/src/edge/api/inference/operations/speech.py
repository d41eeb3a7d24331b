"""`POST /audio/speech`."""

from __future__ import annotations

from typing import Final, get_args

from aiohttp import web

from contracts.operations import Operation
from dialects.operations.codec import OperationRequest, decode_operation
from dialects.operations.media import AUDIO_TYPES
from dialects.operations.requests import SpeechBody, SpeechFormat
from edge.api.http import operations as described
from edge.api.http.bodies import JsonBodies
from edge.api.http.exchange import Exchange
from edge.api.http.routes import Access, Handler, Route
from edge.operations import Performed

_MEDIA_TYPES: Final = sorted({AUDIO_TYPES[form] for form in get_args(SpeechFormat)})
_OPERATION: Final = described.Operation(
    id="createAudioSpeech",
    tag="TTS",
    summary="Speak a text",
    body=SpeechBody,
    content=dict.fromkeys((*_MEDIA_TYPES, "application/octet-stream")),
    errors=described.INFERENCE_ERRORS,
    description="The answer is the sound itself; `X-Generation-Id` names the generation, whose record has its cost.",
)


class SpeechSkin:
    """OpenAI's speech, with OpenRouter's members."""

    operation = Operation.SPEECH

    def __init__(self, bodies: JsonBodies) -> None:
        """Make the skin; `bodies` reads requests."""
        self._bodies = bodies

    def route(self, handler: Handler) -> Route:
        """Say where it is asked for."""
        return Route("POST", "/audio/speech", Access.INFERENCE_KEY, handler, _OPERATION)

    async def read(self, exchange: Exchange) -> OperationRequest:
        """Read and validate a request. See `OperationSkin`."""
        return OperationRequest(decode_operation(await self._bodies.read(exchange.request), SpeechBody))

    def render(self, exchange: Exchange, request: OperationRequest, performed: Performed) -> web.Response:
        """Write the answer."""
        speech = performed.answer.speech
        headers = {**exchange.headers(), "Content-Type": speech.media_type or "application/octet-stream"}
        return web.Response(body=speech.audio, headers=headers)
