"""Errors in the words of the Messages API."""

from __future__ import annotations

from types import MappingProxyType

# The types that OpenRouter's errors have here; every other one of a status below 500 is an invalid request, and of any other status
# an error of the API (openrouter-api.md, section 6).
_TYPES = MappingProxyType(
    {
        "authentication": "authentication_error",
        "permission_denied": "permission_error",
        "payment_required": "billing_error",
        "not_found": "not_found_error",
        "image_not_found": "not_found_error",
        "rate_limit_exceeded": "rate_limit_error",
        "provider_overloaded": "overloaded_error",
        "timeout": "timeout_error",
    }
)


def anthropic_error_type(error_type: str, status: int) -> str:
    """Name an error.

    Args:
        error_type: the public API's word for it.
        status: its HTTP status.
    """
    return _TYPES.get(error_type) or ("invalid_request_error" if status < 500 else "api_error")
