"""The dialect of Amazon Bedrock's Converse API: its requests, answers, streams and errors.

Its turns, thinking and schemas are those of Anthropic's Messages API, after which it is modelled.
"""

from __future__ import annotations

from dialects.bedrock.dialect import Bedrock
from dialects.bedrock.event_stream import EventStreamReader
from dialects.bedrock.reasoning import REASONING_CONFIG, REASONING_EFFORT, REASONING_OBJECT, THINKING_BUDGET
from dialects.bedrock.requests import CACHE_POINTS
from dialects.bedrock.stream import ConverseStream
from dialects.bedrock.tools import TOOL_CACHE_POINTS

__all__ = [
    "CACHE_POINTS",
    "REASONING_CONFIG",
    "REASONING_EFFORT",
    "REASONING_OBJECT",
    "THINKING_BUDGET",
    "TOOL_CACHE_POINTS",
    "Bedrock",
    "ConverseStream",
    "EventStreamReader",
]
