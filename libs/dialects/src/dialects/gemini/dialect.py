"""The dialect as one object."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import msgspec

from dialects.answers import Answer, UpstreamError
from dialects.chat import ChatRequest
from dialects.errors import UpstreamAnswerError
from dialects.gemini.answers import AnswerReader
from dialects.gemini.errors import read_error_body
from dialects.gemini.requests import build_request
from dialects.json_values import decode_object
from dialects.sse import SseReader
from dialects.upstream import Target, UpstreamRequest

# An image comes whole in one event; a large one is some 20 MB in base64.
MAX_EVENT_BYTES = 32 * 1024 * 1024

_encode = msgspec.json.Encoder().encode


class GeminiStream:
    """Reads a stream of responses. It has no mark of its end: the finish reasons tell whether it is whole."""

    __slots__ = ("_answers", "_events", "done")

    def __init__(self) -> None:
        self._events = SseReader(MAX_EVENT_BYTES, MAX_EVENT_BYTES)
        self._answers = AnswerReader()
        self.done = False

    def feed(self, piece: bytes) -> Iterator[Answer]:
        """Take the next bytes. See `dialects.upstream.StreamReader`."""
        for event in self._events.feed(piece):
            yield self._answers.read(decode_object(event.data))


class Gemini:
    """Generate content, as the Gemini API has it; the base URL ends with the version, such as `/v1beta`."""

    def request(self, request: ChatRequest, target: Target) -> UpstreamRequest:
        """Write a request. See `dialects.upstream.UpstreamDialect`."""
        method = "streamGenerateContent?alt=sse" if target.stream else "generateContent"
        path = f"/models/{quote(target.model, safe='')}:{method}"
        return UpstreamRequest(path, _encode(build_request(request, target)))

    def read_answer(self, body: bytes) -> Answer:
        """Read a whole answer."""
        answer = AnswerReader().read(decode_object(body))
        if not answer.choices and answer.error is None:
            raise UpstreamAnswerError("the answer has no candidates")
        return answer

    def read_stream(self) -> GeminiStream:
        """Make a reader for one streamed answer."""
        return GeminiStream()

    def read_error(self, body: bytes, status: int) -> UpstreamError:
        """Read the body of an answer whose status is an error."""
        return read_error_body(body, status)
