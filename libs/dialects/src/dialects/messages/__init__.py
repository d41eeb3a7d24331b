"""Anthropic's Messages API as callers speak it: requests into chat completions, answers and errors out of it.

How providers are spoken to in the same API is `dialects.anthropic`, whose vocabulary this package shares.
"""

from __future__ import annotations

from dialects.messages.answer_blocks import AnswerBlocks, Event, InterleavedCallsError
from dialects.messages.body import MessagesBody
from dialects.messages.content import MessageContent
from dialects.messages.endings import Counts, Ending, usage_members
from dialects.messages.errors import anthropic_error_type
from dialects.messages.requests import MessagesRequest, decode_messages_request

__all__ = [
    "AnswerBlocks",
    "Counts",
    "Ending",
    "Event",
    "InterleavedCallsError",
    "MessageContent",
    "MessagesBody",
    "MessagesRequest",
    "anthropic_error_type",
    "decode_messages_request",
    "usage_members",
]
