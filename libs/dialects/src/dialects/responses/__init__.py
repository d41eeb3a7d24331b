"""OpenAI's and OpenRouter's Responses API: its request as a chat request, a chat answer as its items and events."""

from __future__ import annotations

from dialects.responses.codec import ResponsesRequest, decode_responses_request, responses_request_from_document
from dialects.responses.errors import LENGTH_ERRORS, error_code
from dialects.responses.output import ResponseOutput
from dialects.responses.output_items import Event
from dialects.responses.request import ResponsesBody
from dialects.responses.result import Ending, ResponseObject

__all__ = [
    "LENGTH_ERRORS",
    "Ending",
    "Event",
    "ResponseObject",
    "ResponseOutput",
    "ResponsesBody",
    "ResponsesRequest",
    "decode_responses_request",
    "error_code",
    "responses_request_from_document",
]
