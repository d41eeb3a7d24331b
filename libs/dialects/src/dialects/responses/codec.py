"""Reading a Responses request, and writing it as the chat request that the router gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from dialects.chat import ChatRequest, chat_request_from_document
from dialects.errors import InvalidRequestError
from dialects.request_reading import convert_request, parse_request
from dialects.responses.content import ITEM_TYPES
from dialects.responses.conversation import messages_of
from dialects.responses.request import JsonSchemaOutputFormat, ResponsesBody, TextOptions, TextOutputFormat
from dialects.responses.tools import ToolName, check_tool_types, choose_tools, functions_of

# Members that the two dialects share by name and meaning. Those below the line are documented in the chat dialect only.
_SHARED: Final = (
    "model", "models", "stream", "temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty", "max_tool_calls",
    "reasoning", "modalities", "image_config", "provider", "plugins", "route", "debug", "stop_server_tools_when",
    "cache_control", "prompt_cache_key", "prompt_cache_options", "service_tier", "session_id", "user", "metadata", "trace",
    # --
    "stop", "seed", "min_p", "top_a", "repetition_penalty", "logit_bias", "preset", "transforms", "usage",
)  # fmt: skip
# What would need something to be kept here between two requests, and the only values that need nothing.
_STATELESS: Final[Mapping[str, tuple[object, ...]]] = {
    "store": (False,),
    "background": (False,),
    "previous_response_id": (),
    "conversation": (),
    "prompt": (),
}
_NOTHING_KEPT: Final = "this API keeps nothing between requests"
# Members of the chat request and where their values came from.
_ORIGINS: Final = (
    ("max_completion_tokens", "max_output_tokens"),
    ("response_format.json_schema", "text.format"),
    ("response_format", "text.format"),
    ("verbosity", "text.verbosity"),
    ("messages", "input"),
)


@dataclass(frozen=True, slots=True)
class ResponsesRequest:
    """A valid request.

    Attributes:
        body: its documented members, typed.
        document: the JSON object that it was read from, without the members that were null.
        chat: the same for the router.
        tools: the tools, by their names as functions of the chat request.
    """

    # None may show up in a log by way of a repr: all of them hold the prompt.
    body: ResponsesBody = field(repr=False)
    document: Mapping[str, Any] = field(repr=False)
    chat: ChatRequest = field(repr=False)
    tools: Mapping[str, ToolName] = field(repr=False)

    def includes(self, name: str) -> bool:
        """Whether the caller asks for an optional part of the answer."""
        return self.body.include is not None and name in self.body.include

    @property
    def wants_logprobs(self) -> bool:
        """Whether the caller asks for log probabilities of the text."""
        return bool(self.body.top_logprobs) or self.includes("message.output_text.logprobs")


def decode_responses_request(data: bytes) -> ResponsesRequest:
    """Read and validate a request.

    Raises:
        InvalidRequestError: not JSON, too deep, a member is missing or wrong, or asks for what is not offered.
    """
    return responses_request_from_document(parse_request(data))


def responses_request_from_document(document: object) -> ResponsesRequest:
    """Validate a request that is already parsed.

    Raises:
        InvalidRequestError: a member is missing or wrong, or asks for what is not offered.
    """
    if not isinstance(document, dict):
        raise InvalidRequestError("the body must be a JSON object", None)
    document = {name: value for name, value in document.items() if value is not None}
    for name, harmless in _STATELESS.items():
        if name in document and not any(document[name] is value for value in harmless):
            raise InvalidRequestError(f"{name}: {_NOTHING_KEPT}", name)
    check_tool_types(document.get("tools"))
    document = _with_item_types(document)
    body = convert_request(document, ResponsesBody)
    functions = functions_of(body.tools or ())
    chat = _chat_document(document, body, functions)
    try:
        request = chat_request_from_document(chat)
    except InvalidRequestError as error:
        raise _in_words_of_responses(error) from None
    return ResponsesRequest(body, document, request, {name.function: name for name in functions})


def _with_item_types(document: dict[str, Any]) -> dict[str, Any]:
    """Callers may leave out the type of a message. Refuses items of other types than the known ones."""
    items = document.get("input")
    if not isinstance(items, list):
        return document
    typed = []
    for position, item in enumerate(items):
        if isinstance(item, dict):
            kind = item.get("type")
            if kind is None and "role" in item:
                item = {**item, "type": "message"}
            elif isinstance(kind, str) and kind not in ITEM_TYPES:
                where = f"input[{position}].type"
                reason = _NOTHING_KEPT if kind == "item_reference" else "items of this type are not offered here"
                raise InvalidRequestError(f"{where}: {reason}", where)
        typed.append(item)
    return {**document, "input": typed}


def _chat_document(
    document: Mapping[str, Any], body: ResponsesBody, functions: Mapping[ToolName, dict[str, Any]]
) -> dict[str, Any]:
    chat: dict[str, Any] = {"messages": _messages(body)}
    for name in _SHARED:
        if name in document:
            chat[name] = document[name]
    if body.user is None and body.safety_identifier is not None:
        chat["user"] = body.safety_identifier
    if body.max_output_tokens is not None:
        chat["max_completion_tokens"] = body.max_output_tokens
    if body.top_logprobs or (body.include and "message.output_text.logprobs" in body.include):
        chat["logprobs"] = True
        if body.top_logprobs:
            chat["top_logprobs"] = body.top_logprobs
    tools, choice = choose_tools(body.tool_choice, functions)
    if tools:
        chat["tools"] = tools
        if choice is not None:
            chat["tool_choice"] = choice
        if body.parallel_tool_calls is not None:
            chat["parallel_tool_calls"] = body.parallel_tool_calls
    if body.text is not None:
        chat.update(_text_members(body.text))
    if body.truncation is not None and "transforms" not in chat:
        chat["transforms"] = ["middle-out"] if body.truncation == "auto" else []
    return chat


def _messages(body: ResponsesBody) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    if body.instructions is not None:
        messages.append({"role": "system", "content": body.instructions})
    if isinstance(body.input, str):
        messages.append({"role": "user", "content": body.input})
    elif body.input is not None:
        messages += messages_of(body.input)
    if not messages:
        raise InvalidRequestError("input: required", "input")
    return messages


def _text_members(text: TextOptions) -> dict[str, Any]:
    members: dict[str, Any] = {}
    if text.verbosity is not None:
        members["verbosity"] = text.verbosity
    if isinstance(text.format, JsonSchemaOutputFormat):
        schema: dict[str, Any] = {"name": text.format.name, "schema": text.format.schema}
        optional = {"description": text.format.description, "strict": text.format.strict}
        schema |= {name: value for name, value in optional.items() if value is not None}
        members["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif text.format is not None and not isinstance(text.format, TextOutputFormat):
        members["response_format"] = {"type": "json_object"}
    return members


def _in_words_of_responses(error: InvalidRequestError) -> InvalidRequestError:
    """Name the member that the caller sent. Nearly everything was found wrong before; this is what is left."""
    param = error.param or ""
    for chat, ours in _ORIGINS:
        if param == chat or param.startswith((f"{chat}.", f"{chat}[")):
            # The position of a message is not that of an item.
            path = ours if ours == "input" else ours + param[len(chat) :]
            return InvalidRequestError(f"{path}{error.message.removeprefix(param)}", path)
    return error
