"""OpenAI's legacy completions: a prompt as the request of a chat, log probabilities in the old form."""

from __future__ import annotations

from dialects.text_completions.logprobs import text_logprobs
from dialects.text_completions.request import (
    TextCompletionBody,
    TextCompletionRequest,
    decode_text_completion_request,
)

__all__ = [
    "TextCompletionBody",
    "TextCompletionRequest",
    "decode_text_completion_request",
    "text_logprobs",
]
