"""`POST /chat/completions`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from dialects.chat import ChatBody, ChatRequest, InvalidRequestError, NamedToolChoice, decode_chat_request
from edge.api.http.errors import Problem
from edge.api.http.operations import EVENT_STREAM, INFERENCE_ERRORS, Operation
from edge.api.http.routes import Access, Handler, Route
from edge.api.inference.chat.answers import ChatCompletion, ChatCompletionChunk
from edge.api.inference.chat.chunks import ChunkWriter
from edge.api.inference.chat.result import ChatResult
from edge.api.inference.skin import Heading

_OPERATION: Final = Operation(
    id="sendChatCompletionRequest",
    tag="Chat",
    summary="Create a chat completion",
    body=ChatBody,
    answer=ChatCompletion,
    content={EVENT_STREAM: ChatCompletionChunk},
    errors=INFERENCE_ERRORS,
)


@dataclass(frozen=True, slots=True)
class ChatSkinRequest:
    """A chat completions request. The router gets it as it is."""

    chat: ChatRequest

    @property
    def streamed(self) -> bool:
        """Whether the answer is a stream."""
        return self.chat.body.stream is True

    def with_chat(self, chat: ChatRequest) -> ChatSkinRequest:
        """The same for another request."""
        return ChatSkinRequest(chat)

    def answer(self, heading: Heading) -> ChatResult:
        """Start an answer that is not streamed."""
        return ChatResult(heading)

    def events(self, heading: Heading) -> ChunkWriter:
        """Start a streamed answer."""
        return ChunkWriter(heading)

    def absorbs(self, problem: Problem) -> bool:
        """Every problem before the first piece has its status."""
        return False


class ChatSkin:
    """OpenRouter's and OpenAI's chat completions."""

    def route(self, handler: Handler) -> Route:
        """Say where it is spoken."""
        return Route("POST", "/chat/completions", Access.INFERENCE_KEY, handler, _OPERATION)

    def decode(self, body: bytes, headers: Mapping[str, str]) -> ChatSkinRequest:
        """Read and validate a request.

        Raises:
            InvalidRequestError: it is not valid, or asks for tools that a gateway would have to run.
        """
        request = decode_chat_request(body)
        _check_tools(request)
        return ChatSkinRequest(request)


def _check_tools(request: ChatRequest) -> None:
    """An answer without the search that was asked for would look like one with it, so such tools are refused."""
    for position, tool in enumerate(request.body.tools or ()):
        if tool.type != "function":
            where = f"tools[{position}].type"
            raise InvalidRequestError(f"{where}: tools of this type are not offered here", where)
    choice = request.body.tool_choice
    if isinstance(choice, NamedToolChoice) and choice.type != "function":
        raise InvalidRequestError("tool_choice.type: not one of the allowed values", "tool_choice.type")
