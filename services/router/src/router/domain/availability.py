"""The `availability` object of the public API: why a model cannot be served, for programs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from contracts.error_types import AVAILABILITY, AvailabilityCode

_MAX_NAME_LENGTH = 100


def availability(
    code: AvailabilityCode,
    requested: Sequence[str],
    *,
    retry_after: float | None = None,
    affected_providers: Sequence[str] = (),
    excluded_by: Sequence[str] = (),
    fallback_models: Sequence[str] = (),
    constraint: tuple[str, str] | None = None,
) -> dict[str, Any]:
    """Make the object. What is empty is left out.

    Args:
        code: why.
        requested: the models that were asked for.
        retry_after: seconds, None when nothing is known.
        affected_providers: slugs of those that were tried, or could not be.
        excluded_by: what the endpoints were filtered out by.
        fallback_models: models that could serve instead.
        constraint: the member of the request that excludes most, and what it is about.
    """
    document: dict[str, Any] = {
        "code": code.value,
        "retryable": AVAILABILITY[code].retryable,
        "requested_models": [shortened(name) for name in requested],
    }
    if retry_after is not None:
        document["retry_after"] = max(1, math.ceil(retry_after))
    for name, values in (
        ("affected_providers", affected_providers),
        ("excluded_by", excluded_by),
        ("fallback_models", fallback_models),
    ):
        if values:
            document[name] = list(values)
    if constraint is not None:
        document["constraint"] = {"field": constraint[0], "detail": constraint[1]}
    return document


def shortened(name: str) -> str:
    """A model's name as it may be repeated to the caller, who may have sent anything."""
    return name if len(name) <= _MAX_NAME_LENGTH else name[:_MAX_NAME_LENGTH] + "..."
