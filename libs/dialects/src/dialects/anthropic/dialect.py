"""The dialect as one object."""

from __future__ import annotations

from dialects.answers import Answer, UpstreamError
from dialects.anthropic.answers import read_answer
from dialects.anthropic.errors import read_error
from dialects.anthropic.requests import build_request
from dialects.anthropic.stream import MessagesStream
from dialects.chat import ChatRequest
from dialects.upstream import Target, UpstreamRequest

_PATH = "/v1/messages"
# The only version of the API; every feature that is used here belongs to it.
_VERSION = "2023-06-01"


class Anthropic:
    """Anthropic's Messages API. Base URLs end before `/v1`."""

    def request(self, request: ChatRequest, target: Target) -> UpstreamRequest:
        """Write a request. See `dialects.upstream.UpstreamDialect`."""
        return UpstreamRequest(_PATH, build_request(request, target), {"anthropic-version": _VERSION})

    def read_answer(self, body: bytes) -> Answer:
        """Read a whole answer."""
        return read_answer(body)

    def read_stream(self) -> MessagesStream:
        """Make a reader for one streamed answer."""
        return MessagesStream()

    def read_error(self, body: bytes, status: int) -> UpstreamError:
        """Read the body of an answer whose status is an error."""
        return read_error(body, status)
