"""The dialect as one object, for callers that speak several."""

from __future__ import annotations

from collections.abc import Iterator

from dialects.answers import Answer, UpstreamError, UpstreamErrorKind
from dialects.chat import ChatRequest
from dialects.openai_compatible.answers import DONE, read_answer, read_event
from dialects.openai_compatible.errors import read_error_body
from dialects.openai_compatible.quirks import MAX_COMPLETION_TOKENS, NO_STREAM_OPTIONS, STATED_OUTPUT_LIMIT
from dialects.openai_compatible.requests import build_request
from dialects.sse import SseEvent, SseReader
from dialects.upstream import Target, UpstreamRequest

_PATH = "/chat/completions"


class OpenAICompatibleStream:
    """Reads a stream of chat completion chunks."""

    __slots__ = ("_reader", "done")

    def __init__(self) -> None:
        self._reader = SseReader()
        self.done = False

    def feed(self, piece: bytes) -> Iterator[Answer]:
        """Take the next bytes. See `dialects.upstream.StreamReader`."""
        for event in self._reader.feed(piece):
            if event.data == DONE:
                self.done = True
                return
            yield _answer(event)


class OpenAICompatible:
    """Chat completions as OpenAI defined them and hundreds of servers speak them."""

    def request(self, request: ChatRequest, target: Target) -> UpstreamRequest:
        """Write a request. See `dialects.upstream.UpstreamDialect`."""
        body = build_request(
            request,
            model=target.model,
            supported=target.supported,
            stream=target.stream,
            limit_name="max_completion_tokens" if MAX_COMPLETION_TOKENS in target.quirks else "max_tokens",
            ask_usage=NO_STREAM_OPTIONS not in target.quirks,
            quirks=target.quirks,
            default_limit=target.max_completion_tokens if STATED_OUTPUT_LIMIT in target.quirks else 0,
            most=target.max_completion_tokens,
            service_tier=target.service_tier,
        )
        return UpstreamRequest(_PATH, body)

    def read_answer(self, body: bytes) -> Answer:
        """Read a whole answer."""
        return read_answer(body)

    def read_stream(self) -> OpenAICompatibleStream:
        """Make a reader for one streamed answer."""
        return OpenAICompatibleStream()

    def read_error(self, body: bytes, status: int) -> UpstreamError:
        """Read the body of an answer whose status is an error."""
        return read_error_body(body, status)


def _answer(event: SseEvent) -> Answer:
    answer = read_event(event.data)
    if event.event == "error" and answer.error is None:
        return Answer(error=UpstreamError(UpstreamErrorKind.SERVER))
    return answer
