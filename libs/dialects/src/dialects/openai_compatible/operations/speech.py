"""`POST /audio/speech`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from dialects.answers import Answer
from dialects.errors import UnsupportedRequestError, UpstreamAnswerError
from dialects.openai_compatible.operations.reading import answered, read_document
from dialects.operations.media import AUDIO_TYPES
from dialects.operations.products import Speech
from dialects.operations.requests import SpeechBody
from dialects.upstream import Target, UpstreamRequest

PATH = "/audio/speech"
# OpenAI's first voice, for callers that name none; providers without it have one of their own.
DEFAULT_VOICE = "alloy"

_KNOWN = frozenset(AUDIO_TYPES.values())

_encode = msgspec.json.Encoder().encode


def write(body: SpeechBody, target: Target) -> UpstreamRequest:
    """Write a request.

    Raises:
        UnsupportedRequestError: a voice is to be taken from a recording, or the price is by tokens that nobody would count.
    """
    if "completion" in target.priced:
        raise UnsupportedRequestError("this provider does not say how many tokens its sound has")
    if body.input_references:
        raise UnsupportedRequestError("input_references: this provider takes no voice from a recording")
    document: dict[str, Any] = {
        "model": target.model,
        "input": body.input,
        "voice": body.voice or DEFAULT_VOICE,
        "response_format": body.audio_format,
    }
    if body.speed is not None and "speed" in target.supported:
        document["speed"] = body.speed
    return UpstreamRequest(PATH, _encode(document), read=_reader(AUDIO_TYPES[body.audio_format]))


def _reader(media_type: str) -> Callable[[bytes, str], Answer]:
    def read(body: bytes, stated: str) -> Answer:
        if stated.endswith("json"):
            _, failed = read_document(body)
            if failed is not None:
                return failed
            raise UpstreamAnswerError("JSON instead of sound")
        if not stated.startswith("audio/") and stated != "application/octet-stream":
            raise UpstreamAnswerError("not sound")
        if not body:
            raise UpstreamAnswerError("no sound at all")
        # A provider that makes one form whatever it is asked for says which.
        return answered(Speech(body, stated if stated in _KNOWN else media_type), None)

    return read
