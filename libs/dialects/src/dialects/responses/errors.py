"""Errors in the words of the Responses API."""

from __future__ import annotations

from typing import Final

# Source: OpenRouter's documentation of the error types; every other one is `server_error`.
_CODES: Final = {
    "rate_limit_exceeded": "rate_limit_exceeded",
    "context_length_exceeded": "invalid_prompt",
    "invalid_request": "invalid_prompt",
    "invalid_prompt": "invalid_prompt",
    "content_policy_violation": "image_content_policy_violation",
}
# A request that was too long, or was to become so: an answer that is incomplete, not an error.
LENGTH_ERRORS: Final = frozenset(
    {"context_length_exceeded", "max_tokens_exceeded", "token_limit_exceeded", "string_too_long"}
)


def error_code(error_type: str) -> str:
    """The `code` of an error inside a response or a stream."""
    return _CODES.get(error_type, "server_error")
