"""`POST /audio/transcriptions`."""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import Annotated, Any, Final, Literal

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from contracts.operations import Operation
from dialects.errors import InvalidRequestError
from dialects.operations.codec import OperationRequest, operation_from_document
from dialects.operations.media import AUDIO_TYPES
from dialects.operations.requests import TranscriptionBody
from dialects.request_reading import convert_request, parse_request
from edge.api.http import operations as described
from edge.api.http.bodies import JsonBodies
from edge.api.http.errors import HttpError
from edge.api.http.exchange import Exchange
from edge.api.http.forms import FORM, Form, FormBodies
from edge.api.http.routes import Access, Handler, Route
from edge.api.inference.operations.answers import TranscriptionAnswer
from edge.api.inference.operations.costs import dollars
from edge.operations import Performed

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_MS: Final = 1_000


class AudioInput(Struct, frozen=True):
    """Sound in base64, and its form, such as `wav`."""

    data: Annotated[str, Meta(min_length=1)]
    format: Annotated[str, Meta(min_length=1, max_length=32)]


class TranscriptionRequest(TranscriptionBody, frozen=True, kw_only=True):
    """`POST /audio/transcriptions` as JSON."""

    input_audio: AudioInput


class TranscriptionForm(Struct, frozen=True, kw_only=True):
    """`POST /audio/transcriptions` as a form."""

    file: bytes
    model: str
    language: str | None = None
    temperature: float | None = None
    response_format: Literal["json", "verbose_json"] | None = None
    granularities: list[Literal["word", "segment"]] | None = msgspec.field(
        default=None, name="timestamp_granularities[]"
    )


_OPERATION: Final = described.Operation(
    id="createAudioTranscriptions",
    tag="STT",
    summary="Transcribe sound",
    body=TranscriptionRequest,
    bodies={FORM: TranscriptionForm},
    answer=TranscriptionAnswer,
    errors=described.INFERENCE_ERRORS,
    description="As JSON with the sound in base64, or as a form with a `file`, as OpenAI's clients send it.",
)


class TranscriptionSkin:
    """OpenAI's and OpenRouter's transcriptions."""

    operation = Operation.TRANSCRIPTION

    def __init__(self, bodies: JsonBodies, forms: FormBodies, limit: int) -> None:
        """Make the skin.

        Args:
            bodies: reads requests as JSON.
            forms: reads forms.
            limit: bytes of sound.
        """
        self._bodies = bodies
        self._forms = forms
        self._limit = limit

    def route(self, handler: Handler) -> Route:
        """Say where it is asked for."""
        return Route("POST", "/audio/transcriptions", Access.INFERENCE_KEY, handler, _OPERATION)

    async def read(self, exchange: Exchange) -> OperationRequest:
        """Read and validate a request. See `OperationSkin`."""
        content_type = exchange.request.headers.get("Content-Type", "")
        if content_type.partition(";")[0].strip().lower() == FORM:
            return _from_form(await self._forms.read(exchange.request))
        return self._from_json(await self._bodies.read(exchange.request))

    def render(self, exchange: Exchange, request: OperationRequest, performed: Performed) -> web.Response:
        """Write the answer."""
        answer, body = performed.answer, request.body
        usage = answer.outcome.usage
        document: dict[str, Any] = {
            "text": answer.transcription.text,
            "usage": {
                "seconds": usage.audio_milliseconds / _MS,
                "input_tokens": usage.prompt_tokens,
                "output_tokens": usage.completion_tokens,
                "total_tokens": usage.prompt_tokens + usage.completion_tokens,
                "cost": dollars(answer.outcome.cost_nano_usd),
            },
        }
        if isinstance(body, TranscriptionBody) and body.response_format == "verbose_json":
            details = _decode(answer.transcription.details_json or b"{}")
            document = {"task": "transcribe", **document, **details}
        return exchange.json(_encode(document))

    def _from_json(self, data: bytes) -> OperationRequest:
        document = parse_request(data)
        if not isinstance(document, dict):
            raise InvalidRequestError("the body must be a JSON object", None)
        if document.get("input_audio") is None:
            raise InvalidRequestError("input_audio: required", "input_audio")
        audio = convert_request(document.pop("input_audio"), AudioInput, "input_audio")
        encoded = audio.data.partition(",")[2] if audio.data.startswith("data:") else audio.data
        try:
            sound = b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raise InvalidRequestError("input_audio.data: not base64", "input_audio.data") from None
        if len(sound) > self._limit:
            raise HttpError(413, f"The sound is larger than {self._limit} bytes", "payload_too_large")
        return _request(document, sound, audio.format, "input_audio.data")


def _from_form(form: Form) -> OperationRequest:
    if form.file is None:
        raise InvalidRequestError("file: required", "file")
    document: dict[str, Any] = {}
    for name in ("model", "language", "response_format", "user"):
        if form.fields.get(name):
            document[name] = form.fields[name][-1]
    if form.fields.get("temperature"):
        try:
            document["temperature"] = float(form.fields["temperature"][-1])
        except ValueError:
            raise InvalidRequestError("temperature: not a number", "temperature") from None
    granularities = [
        word for name in ("timestamp_granularities[]", "timestamp_granularities") for word in form.fields.get(name, [])
    ]
    if granularities:
        document["timestamp_granularities"] = granularities
    if form.fields.get("provider"):
        document["provider"] = parse_request(form.fields["provider"][-1].encode())
    suffix = form.filename.rpartition(".")[2].lower()
    return _request(document, form.file, suffix if suffix in AUDIO_TYPES else "wav", "file")


def _request(document: dict[str, Any], sound: bytes, form: str, where: str) -> OperationRequest:
    if not sound:
        raise InvalidRequestError(f"{where}: must not be empty", where)
    return OperationRequest(operation_from_document({**document, "audio_format": form}, TranscriptionBody), sound)
