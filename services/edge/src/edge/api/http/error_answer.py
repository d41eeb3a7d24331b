"""The type of a refusal in OpenRouter's envelope, as the OpenAPI document describes it."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class ErrorDetails(Struct, frozen=True, kw_only=True):
    """What went wrong.

    `code` is the HTTP status. `metadata.error_type` is the word for the kind of error, `metadata.param` names the field and
    `metadata.provider_name` the provider. `availability` says why a model cannot be served.
    """

    code: int
    message: str
    metadata: dict[str, Any]
    availability: dict[str, Any] | None = None


class ErrorAnswer(Struct, frozen=True, kw_only=True):
    """A refusal."""

    error: ErrorDetails
    openrouter_metadata: dict[str, Any] | None = None
    user_id: str | None = None
