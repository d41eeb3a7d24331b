"""The dialect of OpenAI-compatible providers: their requests, answers, streams and errors."""

from __future__ import annotations

from dialects.openai_compatible.answers import DONE, normalise_finish_reason, read_answer, read_event
from dialects.openai_compatible.dialect import OpenAICompatible, OpenAICompatibleStream
from dialects.openai_compatible.errors import find_error, kind_of_error, read_error_body
from dialects.openai_compatible.requests import build_request
from dialects.openai_compatible.usage import read_usage

__all__ = [
    "DONE",
    "OpenAICompatible",
    "OpenAICompatibleStream",
    "build_request",
    "find_error",
    "kind_of_error",
    "normalise_finish_reason",
    "read_answer",
    "read_error_body",
    "read_event",
    "read_usage",
]
