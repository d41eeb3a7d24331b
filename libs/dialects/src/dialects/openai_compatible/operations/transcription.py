"""`POST /audio/transcriptions`: a form with a file."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Any

from dialects.answers import Answer, Usage
from dialects.errors import UpstreamAnswerError
from dialects.json_values import count_in, object_in, objects_in, text_in
from dialects.openai_compatible.operations.reading import answered, read_document, read_token_usage
from dialects.operations.media import AUDIO_TYPES, wav_ms
from dialects.operations.products import Transcription
from dialects.operations.requests import TranscriptionBody
from dialects.upstream import Target, UpstreamRequest

PATH = "/audio/transcriptions"

_MAX_SECONDS = 1_000_000
_MS = 1_000
_SEGMENT = (
    "id", "seek", "start", "end", "text", "tokens", "temperature", "avg_logprob", "compression_ratio", "no_speech_prob",
    "speaker",
)  # fmt: skip
_WORD = ("word", "start", "end", "speaker")


def write(body: TranscriptionBody, audio: bytes, target: Target) -> UpstreamRequest:
    """Write a request. Where the price is by the second the answer must say how many there were, so a verbose one is asked for."""
    verbose = body.response_format == "verbose_json" or "second" in target.priced
    fields = [("model", target.model), ("response_format", "verbose_json" if verbose else "json")]
    if body.language is not None:
        fields.append(("language", body.language))
    if body.temperature is not None:
        fields.append(("temperature", repr(body.temperature)))
    if verbose and body.timestamp_granularities and "timestamp_granularities" in target.supported:
        fields += [("timestamp_granularities[]", word) for word in body.timestamp_granularities]
    form = body.audio_format.lower()
    known = form if form in AUDIO_TYPES else "bin"
    content_type, written = _form(fields, f"audio.{known}", AUDIO_TYPES.get(form, "application/octet-stream"), audio)
    read = _reader(audio, must_say_seconds="second" in target.priced, must_say_tokens="prompt" in target.priced)
    return UpstreamRequest(PATH, written, {"Content-Type": content_type}, read=read)


def _form(fields: list[tuple[str, str]], name: str, media_type: str, audio: bytes) -> tuple[str, bytes]:
    """A multipart form (RFC 7578). Names and values of the caller have no line breaks in them: those are taken out."""
    digest = hashlib.sha256(audio)
    for _, value in fields:
        digest.update(value.encode())
    boundary = f"turnpike-{digest.hexdigest()[:32]}"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{_line(value)}\r\n'.encode()
        for key, value in fields
    ]
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        f"Content-Type: {media_type}\r\n\r\n"
    ).encode()
    return f"multipart/form-data; boundary={boundary}", b"".join(
        [*parts, head, audio, f"\r\n--{boundary}--\r\n".encode()]
    )


def _line(value: str) -> str:
    return value.replace("\r", " ").replace("\n", " ")


def _reader(audio: bytes, *, must_say_seconds: bool, must_say_tokens: bool) -> Callable[[bytes, str], Answer]:
    exact = wav_ms(audio)

    def read(body: bytes, media_type: str) -> Answer:
        document, failed = read_document(body)
        if failed is not None:
            return failed
        text = document.get("text")
        if type(text) is not str:
            raise UpstreamAnswerError("no text")
        usage = object_in(document, "usage")
        tokens = read_token_usage(document)
        seconds = _seconds(document.get("duration")) or _seconds(usage.get("seconds"))
        audio_ms = math.ceil(seconds * _MS) if seconds is not None else exact
        # What nobody has counted cannot be charged, and must not be given away: another provider may say it.
        if must_say_seconds and audio_ms is None:
            raise UpstreamAnswerError("no duration")
        if must_say_tokens and tokens is None:
            raise UpstreamAnswerError("no token counts")
        counted = Usage(
            prompt=tokens.prompt if tokens else 0,
            completion=tokens.completion if tokens else 0,
            audio_ms=audio_ms or 0,
        )
        return answered(Transcription(text, _details(document, seconds)), counted, document.get("id"))

    return read


def _seconds(value: object) -> float | None:
    if isinstance(value, str):
        # OpenAI's answers had a string here for a while.
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and 0 < value <= _MAX_SECONDS else None


def _details(document: dict[str, Any], seconds: float | None) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if language := text_in(document, "language"):
        details["language"] = language
    if seconds is not None:
        details["duration"] = seconds
    segments = [
        {name: row[name] for name in _SEGMENT if row.get(name) is not None}
        for row in objects_in(document, "segments")
        if _is_timed(row) and type(row.get("text")) is str and count_in(row, "id") is not None
    ]
    if segments:
        details["segments"] = [{"id": place, **row} for place, row in enumerate(segments)]
    words = [
        {name: row[name] for name in _WORD if row.get(name) is not None}
        for row in objects_in(document, "words")
        if _is_timed(row) and type(row.get("word")) is str
    ]
    if words:
        details["words"] = words
    return details


def _is_timed(row: dict[str, Any]) -> bool:
    return all(type(row.get(name)) in (int, float) for name in ("start", "end"))
