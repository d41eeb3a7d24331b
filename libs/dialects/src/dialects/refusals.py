"""What exactly a provider finds wrong with a request, in the words of the public API.

`UpstreamErrorKind` says what a router does about an error; this says what the caller is told of it.
"""

from __future__ import annotations

from typing import Final

from contracts.error_types import ErrorType
from dialects.answers import UpstreamError

# The codes and sentences of OpenAI, Anthropic, Gemini, GitHub Models and vLLM. The first that fits counts.
_BY_CODE: Final = (
    (("invalid_prompt",), ErrorType.INVALID_PROMPT),
    (("refusal",), ErrorType.REFUSAL),
    (("string_above_max_length", "string_too_long"), ErrorType.STRING_TOO_LONG),
    (("tokens_limit_reached", "token_limit"), ErrorType.TOKEN_LIMIT_EXCEEDED),
    (("image_not_found",), ErrorType.IMAGE_NOT_FOUND),
    (("image_too_large",), ErrorType.IMAGE_TOO_LARGE),
    (("image_too_small",), ErrorType.IMAGE_TOO_SMALL),
    (("invalid_image_format", "unsupported_image"), ErrorType.UNSUPPORTED_IMAGE_FORMAT),
    (("image_download", "failed_to_download_image"), ErrorType.IMAGE_DOWNLOAD_FAILED),
    (("invalid_image", "image_parse_error", "invalid_base64_image"), ErrorType.INVALID_IMAGE),
)
_BY_SENTENCE: Final = (
    (("max_tokens", "max_completion_tokens", "max_output_tokens", "maxoutputtokens"),
     ("too large", "exceed", "at most", "maximum allowed", "less than or equal", "greater than"),
     ErrorType.MAX_TOKENS_EXCEEDED),
    (("string",), ("too long", "maximum length"), ErrorType.STRING_TOO_LONG),
    (("token limit", "tokens limit"), ("exceed", "reached", "over"), ErrorType.TOKEN_LIMIT_EXCEEDED),
    (("image",), ("not found", "does not exist"), ErrorType.IMAGE_NOT_FOUND),
    (("image",), ("download", "fetch", "retrieve"), ErrorType.IMAGE_DOWNLOAD_FAILED),
    (("image",), ("too small", "at least", "minimum"), ErrorType.IMAGE_TOO_SMALL),
    (("image",), ("too large", "exceed", "maximum", "at most"), ErrorType.IMAGE_TOO_LARGE),
    (("image",), ("format", "media type", "mime type"), ErrorType.UNSUPPORTED_IMAGE_FORMAT),
    (("image",), ("invalid", "could not process", "unable to process", "corrupt", "cannot be decoded"),
     ErrorType.INVALID_IMAGE),
)  # fmt: skip
_BY_STATUS: Final = {
    412: ErrorType.PRECONDITION_FAILED,
    413: ErrorType.PAYLOAD_TOO_LARGE,
    422: ErrorType.UNPROCESSABLE,
}
# Statements about the length of the prompt, which a 413 may be about as well.
_CONTEXT_WORDS: Final = ("context", "prompt is too long", "input is too long", "too many tokens")


def refusal_type(error: UpstreamError) -> ErrorType | None:
    """Say what a provider finds wrong with the request; None when it says no more than the kind of the error does."""
    code, text = error.code.lower(), error.message.lower()
    for codes, found in _BY_CODE:
        if any(word in code for word in codes):
            return found
    if "context" not in text:
        for things, complaints, found in _BY_SENTENCE:
            if any(word in text for word in things) and any(word in text for word in complaints):
                return found
    if error.status == 413 and any(word in f"{code} {text}" for word in _CONTEXT_WORDS):
        return None
    return _BY_STATUS.get(error.status)
