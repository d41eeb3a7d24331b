"""The dialect of OpenAI-compatible providers: their requests, answers, streams and errors."""

from __future__ import annotations

from dialects.openai_compatible.answers import DONE, normalise_finish_reason, read_answer, read_event
from dialects.openai_compatible.errors import read_error_body
from dialects.openai_compatible.requests import build_request, sent_parameters, supports
from dialects.openai_compatible.usage import read_usage
from dialects.openai_compatible.values import (
    Answer,
    ChoiceDelta,
    FinishReason,
    ToolCallPiece,
    UpstreamError,
    UpstreamErrorKind,
    Usage,
)

__all__ = [
    "DONE",
    "Answer",
    "ChoiceDelta",
    "FinishReason",
    "ToolCallPiece",
    "UpstreamError",
    "UpstreamErrorKind",
    "Usage",
    "build_request",
    "normalise_finish_reason",
    "read_answer",
    "read_error_body",
    "read_event",
    "read_usage",
    "sent_parameters",
    "supports",
]
