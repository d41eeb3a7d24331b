"""The dialect as one object."""

from __future__ import annotations

from dialects.answers import Answer, UpstreamError
from dialects.bedrock.answers import read_answer
from dialects.bedrock.errors import read_error
from dialects.bedrock.requests import build_request, request_path
from dialects.bedrock.stream import ConverseStream
from dialects.chat import ChatRequest
from dialects.upstream import Target, UpstreamRequest


class Bedrock:
    """Amazon Bedrock's Converse API. Signing is not the dialect's business."""

    def request(self, request: ChatRequest, target: Target) -> UpstreamRequest:
        """Write a request. See `dialects.upstream.UpstreamDialect`."""
        return UpstreamRequest(request_path(target), build_request(request, target))

    def read_answer(self, body: bytes) -> Answer:
        """Read a whole answer."""
        return read_answer(body)

    def read_stream(self) -> ConverseStream:
        """Make a reader for one streamed answer."""
        return ConverseStream()

    def read_error(self, body: bytes, status: int) -> UpstreamError:
        """Read the body of an answer whose status is an error."""
        return read_error(body, status)
