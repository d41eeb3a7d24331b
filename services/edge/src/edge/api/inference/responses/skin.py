"""`POST /responses`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from dialects.chat import ChatRequest
from dialects.responses import LENGTH_ERRORS, ResponsesBody, ResponsesRequest, decode_responses_request
from edge.api.http.errors import Problem
from edge.api.http.operations import EVENT_STREAM, INFERENCE_ERRORS, Operation
from edge.api.http.routes import Access, Handler, Route
from edge.api.inference.responses.answer import ResponseAnswer, ResponseEvents, ResponseWriter
from edge.api.inference.responses.answers import ResponseDocument, ResponseEvent, ResponsesErrorAnswer
from edge.api.inference.skin import Heading
from servicekit.clock import Clock

_encode = msgspec.json.Encoder().encode

_OPERATION: Final = Operation(
    id="createResponses",
    tag="Responses",
    summary="Create a response",
    body=ResponsesBody,
    answer=ResponseDocument,
    content={EVENT_STREAM: ResponseEvent},
    errors=INFERENCE_ERRORS,
    error=ResponsesErrorAnswer,
)


def responses_error(problem: Problem, generation_id: str | None = None) -> bytes:
    """Render OpenRouter's envelope, with the error type beside it, where the Responses API has it."""
    body: dict[str, Any] = {"error": msgspec.Raw(problem.error_json()), "error_type": problem.error_type}
    return _encode(body)


@dataclass(frozen=True, slots=True)
class ResponsesSkinRequest:
    """A Responses request. Most of it is repeated in its answer."""

    request: ResponsesRequest
    clock: Clock

    @property
    def chat(self) -> ChatRequest:
        """The request as the router gets it."""
        return self.request.chat

    @property
    def streamed(self) -> bool:
        """Whether the answer is a stream."""
        return self.request.body.stream is True

    def with_chat(self, chat: ChatRequest) -> ResponsesSkinRequest:
        """The same, which asks the router for something else."""
        return replace(self, request=replace(self.request, chat=chat))

    def answer(self, heading: Heading) -> ResponseAnswer:
        """Start an answer that is not streamed."""
        return ResponseAnswer(ResponseWriter(self.request, heading, self.clock))

    def events(self, heading: Heading) -> ResponseEvents:
        """Start a streamed answer."""
        return ResponseEvents(ResponseWriter(self.request, heading, self.clock))

    def absorbs(self, problem: Problem) -> bool:
        """What is too long is an incomplete response here."""
        return problem.error_type in LENGTH_ERRORS


class ResponsesSkin:
    """OpenAI's and OpenRouter's Responses API, without anything kept between requests."""

    def __init__(self, clock: Clock) -> None:
        """Make the skin.

        Args:
            clock: dates the ends of responses.
        """
        self._clock = clock

    def route(self, handler: Handler) -> Route:
        """Say where it is spoken."""
        return Route("POST", "/responses", Access.INFERENCE_KEY, handler, _OPERATION, responses_error)

    def decode(self, body: bytes, headers: Mapping[str, str]) -> ResponsesSkinRequest:
        """Read and validate a request.

        Raises:
            InvalidRequestError: it is not valid.
        """
        return ResponsesSkinRequest(decode_responses_request(body), self._clock)
