"""The dialect as one object."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from dialects.answers import Answer, UpstreamError
from dialects.chat import ChatRequest
from dialects.errors import UpstreamAnswerError
from dialects.json_values import decode_object
from dialects.ndjson import NdjsonReader
from dialects.ollama.answers import AnswerReader
from dialects.ollama.requests import build_request
from dialects.openai_compatible import read_error_body
from dialects.upstream import Target, UpstreamRequest

_PATH = "/api/chat"

_encode = msgspec.json.Encoder().encode


class OllamaStream:
    """Reads a stream of lines; the last one says that it is done."""

    __slots__ = ("_answers", "_lines")

    def __init__(self) -> None:
        self._lines = NdjsonReader()
        self._answers = AnswerReader()

    @property
    def done(self) -> bool:
        """Whether the last line was read."""
        return self._answers.done

    def feed(self, piece: bytes) -> Iterator[Answer]:
        """Take the next bytes. See `dialects.upstream.StreamReader`."""
        for line in self._lines.feed(piece):
            if self._answers.done:
                return
            yield self._answers.read(decode_object(line))


class Ollama:
    """Chat, as Ollama has it; the base URL ends before `/api/chat`."""

    def request(self, request: ChatRequest, target: Target) -> UpstreamRequest:
        """Write a request. See `dialects.upstream.UpstreamDialect`."""
        return UpstreamRequest(_PATH, _encode(build_request(request.body, target)))

    def read_answer(self, body: bytes) -> Answer:
        """Read a whole answer."""
        document = decode_object(body)
        answer = AnswerReader().read(document)
        if answer.error is None and not isinstance(document.get("message"), dict):
            raise UpstreamAnswerError("the answer has no message")
        return answer

    def read_stream(self) -> OllamaStream:
        """Make a reader for one streamed answer."""
        return OllamaStream()

    def read_error(self, body: bytes, status: int) -> UpstreamError:
        """Read the body of an answer whose status is an error: a sentence in `error`, which other servers send too."""
        return read_error_body(body, status)
