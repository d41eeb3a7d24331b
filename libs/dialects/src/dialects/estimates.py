"""Token counts from lengths, for when nobody has counted: holds, filters, and answers that broke off."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from dialects.chat import ChatBody, TextPart
from dialects.chat.content import AssistantMessage, Message

# Prose and code of most tokenizers come to between three and five bytes a token.
BYTES_PER_TOKEN = 4
# No common tokenizer gets more than this into a token over a whole prompt, runs of blanks aside.
MOST_BYTES_PER_TOKEN = 8
# Role, separators and name of a message.
MESSAGE_TOKENS = 4
# An image costs from 85 to some 2,000 tokens, depending on the model and the size; the size is not known here.
IMAGE_TOKENS = 1_000


def estimate_text_tokens(size: int) -> int:
    """Estimate the tokens of text of a size in bytes of UTF-8, rounded up."""
    return -(-size // BYTES_PER_TOKEN)


def text_bytes(text: str) -> int:
    """Return the size of text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


@dataclass(frozen=True, slots=True)
class PromptSize:
    """How long a prompt is: its text and tools in bytes of UTF-8, its messages, its images and other attachments."""

    text_bytes: int
    messages: int
    attachments: int

    @property
    def estimated_tokens(self) -> int:
        """The tokens that it probably has."""
        return estimate_text_tokens(self.text_bytes) + MESSAGE_TOKENS * self.messages + IMAGE_TOKENS * self.attachments

    @property
    def least_tokens(self) -> int:
        """The tokens that it has at least: what may be filtered on without refusing what would fit."""
        return self.text_bytes // MOST_BYTES_PER_TOKEN


def measure_prompt(body: ChatBody) -> PromptSize:
    """Measure a request's messages and tools."""
    size = attachments = 0
    for message in body.messages:
        text, others = _message(message)
        size += text
        attachments += others
    if body.tools:
        size += len(msgspec.json.encode(body.tools))
    return PromptSize(size, len(body.messages), attachments)


def measure_message(message: Message) -> PromptSize:
    """Measure one message."""
    size, attachments = _message(message)
    return PromptSize(size, 1, attachments)


def _message(message: Message) -> tuple[int, int]:
    size = attachments = 0
    if isinstance(message, AssistantMessage) and message.tool_calls:
        size += sum(text_bytes(call.function.name) + text_bytes(call.function.arguments) for call in message.tool_calls)
    if isinstance(message.content, str):
        size += text_bytes(message.content)
    elif message.content is not None:
        for part in message.content:
            if isinstance(part, TextPart):
                size += text_bytes(part.text)
            else:
                attachments += 1
    return size, attachments
