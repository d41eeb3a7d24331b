"""`POST /messages`: Anthropic's API, answered by any vendor's model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from dialects.chat import ChatRequest
from dialects.messages import MessagesBody, MessagesRequest, decode_messages_request
from edge.api.http.errors import Problem
from edge.api.http.operations import EVENT_STREAM, INFERENCE_ERRORS, Operation
from edge.api.http.routes import Access, Handler, Route
from edge.api.inference.messages.answers import AnthropicErrorAnswer, MessageAnswer, MessageEvent, MessagesHeaders
from edge.api.inference.messages.errors import anthropic_error
from edge.api.inference.messages.events import MessageEvents
from edge.api.inference.messages.result import MessageResult
from edge.api.inference.skin import Heading

_OPERATION: Final = Operation(
    id="createMessages",
    tag="Messages",
    summary="Create a message in Anthropic's shape, by any vendor's model",
    body=MessagesBody,
    headers=MessagesHeaders,
    answer=MessageAnswer,
    content={EVENT_STREAM: MessageEvent},
    errors=INFERENCE_ERRORS,
    error=AnthropicErrorAnswer,
)


@dataclass(frozen=True, slots=True)
class MessagesSkinRequest:
    """A request of the Messages API, with the same in chat completions for the router."""

    messages: MessagesRequest

    @property
    def chat(self) -> ChatRequest:
        """What the router gets."""
        return self.messages.chat

    @property
    def streamed(self) -> bool:
        """Whether the answer is a stream."""
        return self.messages.streamed

    def with_chat(self, chat: ChatRequest) -> MessagesSkinRequest:
        """The same for another request to the router."""
        return MessagesSkinRequest(replace(self.messages, chat=chat))

    def answer(self, heading: Heading) -> MessageResult:
        """Start an answer that is not streamed."""
        return MessageResult(heading, self.messages)

    def events(self, heading: Heading) -> MessageEvents:
        """Start a streamed answer."""
        return MessageEvents(heading, self.messages)

    def absorbs(self, problem: Problem) -> bool:
        """Every problem before the first piece has its status."""
        return False


class MessagesSkin:
    """Anthropic's messages, with OpenRouter's extensions. `anthropic-version` and `anthropic-beta` are accepted and change nothing."""

    def route(self, handler: Handler) -> Route:
        """Say where it is spoken."""
        return Route("POST", "/messages", Access.INFERENCE_KEY, handler, _OPERATION, anthropic_error)

    def decode(self, body: bytes, headers: Mapping[str, str]) -> MessagesSkinRequest:
        """Read and validate a request.

        Raises:
            InvalidRequestError: it is not valid.
        """
        return MessagesSkinRequest(decode_messages_request(body))
