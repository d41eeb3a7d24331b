"""How many tokens a prompt has, estimated without a tokenizer: good enough to set credit aside, never to bill."""

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

# English text has about four characters a token in every common vocabulary.
CHARACTERS_PER_TOKEN = 4
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
    characters = 0
    tokens = 0
    for message in body.messages:
        tokens += TOKENS_PER_MESSAGE
        if message.content is not None:
            part_characters, part_tokens = _content(message.content)
            characters += part_characters
            tokens += part_tokens
        if isinstance(message, AssistantMessage):
            characters += _of_earlier_turn(message)
    if body.tools:
        characters += len(_encode(body.tools))
    if body.response_format is not None:
        characters += len(_encode(body.response_format))
    return tokens + -(-characters // CHARACTERS_PER_TOKEN)


def _content(content: Content) -> tuple[int, int]:
    """Characters of text, and tokens of everything else."""
    if isinstance(content, str):
        return len(content), 0
    characters = tokens = 0
    for part in content:
        if isinstance(part, TextPart):
            characters += len(part.text)
        elif isinstance(part, ImagePart):
            tokens += TOKENS_PER_IMAGE
        elif isinstance(part, AudioPart):
            tokens += len(part.input_audio.data) // AUDIO_CHARACTERS_PER_TOKEN
        elif isinstance(part, FilePart) and part.file.file_data is not None:
            tokens += max(TOKENS_PER_REFERENCE, len(part.file.file_data) // FILE_CHARACTERS_PER_TOKEN)
        else:
            tokens += TOKENS_PER_REFERENCE
    return characters, tokens


def _of_earlier_turn(message: AssistantMessage) -> int:
    characters = len(message.reasoning or "")
    for call in message.tool_calls or ():
        characters += len(call.function.name) + len(call.function.arguments)
    return characters
