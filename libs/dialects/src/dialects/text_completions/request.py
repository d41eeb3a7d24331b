"""The body of `POST /completions`, typed, and the chat request that it becomes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from dialects.chat import ChatRequest, chat_request_from_document
from dialects.chat.request import ModelSlug, Penalty, TokenLimit, Unit
from dialects.errors import InvalidRequestError
from dialects.request_reading import convert_request, parse_request

# Members that a chat request does not have, or not in this form.
_OWN: Final = frozenset({"prompt", "echo", "suffix", "best_of", "logprobs", "messages"})


class TextCompletionBody(Struct, frozen=True):
    """The members of OpenAI's legacy completions. Every other member of a chat request may be there too, `messages` excepted."""

    prompt: Annotated[str, Meta(min_length=1)] | Annotated[list[str], Meta(min_length=1)]
    model: ModelSlug | None = None
    stream: bool | None = None
    max_tokens: TokenLimit | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Unit | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    best_of: Annotated[int, Meta(ge=1, le=20)] | None = None
    stop: str | Annotated[list[str], Meta(max_length=4)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    logprobs: Annotated[int, Meta(ge=0, le=5)] | None = None
    logit_bias: dict[str, Annotated[float, Meta(ge=-100, le=100)]] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    echo: bool | None = None
    suffix: str | None = None
    user: Annotated[str, Meta(max_length=256)] | None = None


@dataclass(frozen=True, slots=True)
class TextCompletionRequest:
    """A valid request.

    Attributes:
        chat: the request for the router: the prompt is what a user says.
        echo: the text that the answer begins with; empty unless the caller wants its prompt back.
    """

    # Both hold the prompt, which no log may have by way of a repr.
    chat: ChatRequest = field(repr=False)
    echo: str = field(repr=False)


def decode_text_completion_request(data: bytes) -> TextCompletionRequest:
    """Read and validate a request.

    Raises:
        InvalidRequestError: not JSON, too deep, a member is missing or wrong, or asks for what no chat model can do.
    """
    document = parse_request(data)
    if not isinstance(document, dict):
        raise InvalidRequestError("the body must be a JSON object", None)
    document = {name: value for name, value in document.items() if value is not None}
    _check_prompt(document.get("prompt"))
    body = convert_request(document, TextCompletionBody)
    prompt = body.prompt if isinstance(body.prompt, str) else body.prompt[0]
    if body.suffix:
        raise InvalidRequestError("suffix: inserting into a text is not offered here", "suffix")
    if document.get("tools"):
        raise InvalidRequestError("tools: a text has no place for their calls", "tools")
    if body.best_of is not None and body.best_of != (body.n or 1):
        raise InvalidRequestError("best_of: only `n` answers are made, and all of them are given", "best_of")
    chat: dict[str, Any] = {"messages": [{"role": "user", "content": prompt}]}
    chat |= {name: value for name, value in document.items() if name not in _OWN}
    if body.logprobs is not None:
        chat["logprobs"] = True
        if body.logprobs:
            chat["top_logprobs"] = body.logprobs
    return TextCompletionRequest(chat_request_from_document(chat), prompt if body.echo else "")


def _check_prompt(prompt: object) -> None:
    """A generation has one prompt, and it is text: what a token is depends on the model that will answer.

    Raises:
        InvalidRequestError: it is something else.
    """
    if not isinstance(prompt, list) or not prompt:
        return
    if any(isinstance(each, int | list) for each in prompt):
        raise InvalidRequestError("prompt: tokens are not accepted, send text", "prompt")
    if len(prompt) > 1:
        raise InvalidRequestError("prompt: one prompt a request, send the others in requests of their own", "prompt")
    if prompt[0] == "":
        raise InvalidRequestError("prompt[0]: required", "prompt[0]")
