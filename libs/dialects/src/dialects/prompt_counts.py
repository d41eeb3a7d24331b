"""How many tokens the prompt of a request has, by its model's tokenizer as far as that can tell."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from dialects.chat import ChatBody, TextPart
from dialects.chat.content import AssistantMessage, Message
from dialects.estimates import IMAGE_TOKENS, measure_prompt
from dialects.tokenizers import TextCount, Tokenizer, count_text

# What OpenAI's guide to counting adds: the marks around each message, and those that begin the answer.
_MESSAGE_TOKENS = 3
_ANSWER_TOKENS = 3

_encode = msgspec.json.Encoder().encode


def count_prompt(body: ChatBody, tokenizer: Tokenizer | None) -> TextCount:
    """Count a request's messages, tools and form of the answer.

    Args:
        body: the request.
        tokenizer: None when its model's is not known: then all of it is estimated.

    Returns:
        Not exact where there are attachments, whose tokens depend on their content, or where the text is very long.
    """
    if tokenizer is None:
        return TextCount(measure_prompt(body).estimated_tokens, exact=False)
    texts: list[str] = []
    attachments = 0
    for message in body.messages:
        texts += _texts(message)
        attachments += _attachments(message)
    if body.tools:
        texts.append(_encode(body.tools).decode())
    if body.response_format is not None:
        texts.append(_encode(body.response_format).decode())
    counted = count_text(tokenizer, "\n".join(texts)) if texts else TextCount(0, exact=True)
    # The newlines between the texts stand for the marks that a template puts there.
    marks = _MESSAGE_TOKENS * len(body.messages) + _ANSWER_TOKENS
    return TextCount(counted.tokens + marks + IMAGE_TOKENS * attachments, counted.exact and not attachments)


def _texts(message: Message) -> Iterator[str]:
    if isinstance(message.content, str):
        yield message.content
    elif message.content is not None:
        for part in message.content:
            if isinstance(part, TextPart):
                yield part.text
    if isinstance(message, AssistantMessage):
        for call in message.tool_calls or ():
            yield call.function.name
            yield call.function.arguments


def _attachments(message: Message) -> int:
    if message.content is None or isinstance(message.content, str):
        return 0
    return sum(not isinstance(part, TextPart) for part in message.content)
