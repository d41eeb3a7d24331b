"""How many tokens a prompt has at most, estimated without a tokenizer: to set credit aside by, never to bill."""

from __future__ import annotations

import msgspec

from dialects.chat import (
    AssistantMessage,
    AudioPart,
    ChatBody,
    Content,
    FilePart,
    ImagePart,
    TextPart,
)
from edge.domain.text_density import most_text_tokens

# Role markers and separators of a chat template.
TOKENS_PER_MESSAGE = 4
# A picture of 1 megapixel; providers count between 85 and 1,700.
TOKENS_PER_IMAGE = 1_600
# 10 tokens a second and some 3 KiB of compressed sound a second, in base64.
AUDIO_CHARACTERS_PER_TOKEN = 400
# A page of a document is some 50 KiB and 1,500 tokens.
FILE_CHARACTERS_PER_TOKEN = 40
# A file or a video that is only named: nobody knows.
TOKENS_PER_REFERENCE = 4_000

_encode = msgspec.json.Encoder().encode


def estimate_prompt_tokens(body: ChatBody) -> int:
    """Estimate the input tokens of a request: messages, tool definitions and the schema of the answer."""
    tokens = 0
    for message in body.messages:
        tokens += TOKENS_PER_MESSAGE
        if message.content is not None:
            tokens += _content(message.content)
        if isinstance(message, AssistantMessage):
            tokens += _of_earlier_turn(message)
    if body.tools:
        tokens += most_text_tokens(_encode(body.tools).decode())
    if body.response_format is not None:
        tokens += most_text_tokens(_encode(body.response_format).decode())
    return tokens


def _content(content: Content) -> int:
    if isinstance(content, str):
        return most_text_tokens(content)
    tokens = 0
    for part in content:
        if isinstance(part, TextPart):
            tokens += most_text_tokens(part.text)
        elif isinstance(part, ImagePart):
            tokens += TOKENS_PER_IMAGE
        elif isinstance(part, AudioPart):
            tokens += len(part.input_audio.data) // AUDIO_CHARACTERS_PER_TOKEN
        elif isinstance(part, FilePart) and part.file.file_data is not None:
            tokens += max(TOKENS_PER_REFERENCE, len(part.file.file_data) // FILE_CHARACTERS_PER_TOKEN)
        else:
            tokens += TOKENS_PER_REFERENCE
    return tokens


def _of_earlier_turn(message: AssistantMessage) -> int:
    tokens = most_text_tokens(message.reasoning or "")
    for call in message.tool_calls or ():
        tokens += most_text_tokens(call.function.name) + most_text_tokens(call.function.arguments)
    return tokens
