"""The dialect as one object."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from dialects.answers import Answer, UpstreamError
from dialects.chat import ChatRequest
from dialects.cohere.answers import read_answer
from dialects.cohere.errors import read_error_body
from dialects.cohere.requests import build_request
from dialects.cohere.stream import EventReader
from dialects.json_values import decode_object
from dialects.sse import SseReader
from dialects.upstream import Target, UpstreamRequest

_PATH = "/v2/chat"
_DONE = b"[DONE]"

_encode = msgspec.json.Encoder().encode


class CohereStream:
    """Reads a stream of events; it ends with `message-end`."""

    __slots__ = ("_events", "_reader")

    def __init__(self) -> None:
        self._reader = SseReader()
        self._events = EventReader()

    @property
    def done(self) -> bool:
        """Whether the end of the message was read."""
        return self._events.done

    def feed(self, piece: bytes) -> Iterator[Answer]:
        """Take the next bytes. See `dialects.upstream.StreamReader`."""
        for event in self._reader.feed(piece):
            if self._events.done or event.data == _DONE:
                return
            yield self._events.read(decode_object(event.data), event.event)


class Cohere:
    """Chat, as Cohere has it; the base URL ends before `/v2/chat`."""

    def request(self, request: ChatRequest, target: Target) -> UpstreamRequest:
        """Write a request. See `dialects.upstream.UpstreamDialect`."""
        return UpstreamRequest(_PATH, _encode(build_request(request.body, target)))

    def read_answer(self, body: bytes) -> Answer:
        """Read a whole answer."""
        return read_answer(decode_object(body))

    def read_stream(self) -> CohereStream:
        """Make a reader for one streamed answer."""
        return CohereStream()

    def read_error(self, body: bytes, status: int) -> UpstreamError:
        """Read the body of an answer whose status is an error."""
        return read_error_body(body, status)
