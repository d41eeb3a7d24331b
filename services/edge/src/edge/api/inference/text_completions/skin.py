"""`POST /completions`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from dialects.chat import ChatRequest
from dialects.text_completions import TextCompletionBody, TextCompletionRequest, decode_text_completion_request
from edge.api.http.errors import Problem
from edge.api.http.operations import EVENT_STREAM, INFERENCE_ERRORS, Operation
from edge.api.http.routes import Access, Handler, Route
from edge.api.inference.skin import Heading
from edge.api.inference.text_completions.answers import TextCompletion
from edge.api.inference.text_completions.writers import TextEvents, TextResult

_OPERATION: Final = Operation(
    id="createCompletion",
    tag="Completions",
    summary="Complete a text",
    body=TextCompletionBody,
    answer=TextCompletion,
    content={EVENT_STREAM: TextCompletion},
    errors=INFERENCE_ERRORS,
    description="OpenAI's legacy completions. The prompt is what a user says to a chat model.",
)


@dataclass(frozen=True, slots=True)
class TextSkinRequest:
    """A request of the legacy completions."""

    request: TextCompletionRequest

    @property
    def chat(self) -> ChatRequest:
        """The request as the router gets it."""
        return self.request.chat

    @property
    def streamed(self) -> bool:
        """Whether the answer is a stream."""
        return self.request.chat.body.stream is True

    def with_chat(self, chat: ChatRequest) -> TextSkinRequest:
        """The same, which asks the router for something else."""
        return TextSkinRequest(replace(self.request, chat=chat))

    def answer(self, heading: Heading) -> TextResult:
        """Start an answer that is not streamed."""
        return TextResult(heading, self.request.echo)

    def events(self, heading: Heading) -> TextEvents:
        """Start a streamed answer."""
        return TextEvents(heading, self.request.echo)

    def absorbs(self, problem: Problem) -> bool:
        """Every problem before the first piece has its status."""
        return False


class TextCompletionsSkin:
    """OpenAI's legacy completions."""

    def route(self, handler: Handler) -> Route:
        """Say where it is spoken."""
        return Route("POST", "/completions", Access.INFERENCE_KEY, handler, _OPERATION)

    def decode(self, body: bytes, headers: Mapping[str, str]) -> TextSkinRequest:
        """Read and validate a request.

        Raises:
            InvalidRequestError: it is not valid.
        """
        return TextSkinRequest(decode_text_completion_request(body))
