"""Anthropic's error envelope, with OpenRouter's word for the error in it."""

from __future__ import annotations

from typing import Any

import msgspec

from dialects.messages import anthropic_error_type
from edge.api.http.errors import Problem

_encode = msgspec.json.Encoder().encode


def anthropic_error(problem: Problem, generation_id: str | None = None) -> bytes:
    """Render the whole body of an error; in a stream it is the data of the event `error`."""
    document: dict[str, Any] = {
        "type": "error",
        "error": {
            "type": anthropic_error_type(problem.error_type, problem.status),
            "message": problem.message,
            "error_type": problem.error_type,
        },
        "request_id": generation_id,
    }
    if problem.metadata:
        document["metadata"] = problem.metadata
    if problem.availability is not None:
        document["error"]["availability"] = problem.availability
    return _encode(document)
