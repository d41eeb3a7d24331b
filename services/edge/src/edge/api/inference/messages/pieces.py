"""The router's pieces of an answer, handed to the conversion into blocks."""

from __future__ import annotations

from typing import Any

import msgspec

from dialects.messages import AnswerBlocks, Ending, Event, InterleavedCallsError
from edge.domain.errors import BrokenAnswerError
from turnpike.router.v1 import completion_pb2

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_NOTHING: dict[str, Any] = {}


def events_of(delta: completion_pb2.ChoiceDelta, blocks: AnswerBlocks, ending: Ending) -> list[Event]:
    """Take in a piece: reasoning before text before tool calls, as they are in every answer.

    Args:
        delta: the piece. Generated images and sound have no place in a message.
        blocks: the answer's blocks so far.
        ending: what is known of its end.

    Returns:
        What the piece adds to the stream.

    Raises:
        BrokenAnswerError: the provider mixes the pieces of tool calls, which the stream of a message cannot say.
    """
    extra = _decode(delta.extra_json) if delta.extra_json else _NOTHING
    events: list[Event] = []
    details = _objects(extra.get("reasoning_details"))
    if delta.reasoning or details:
        events += blocks.reasoning(delta.reasoning, details)
    if delta.content:
        events += blocks.text(delta.content)
    annotations = _objects(extra.get("annotations"))
    if annotations:
        events += blocks.citations(annotations)
    try:
        for call in delta.tool_calls:
            events += blocks.tool_call(call.index, call.id, call.name, call.arguments)
    except InterleavedCallsError:
        raise BrokenAnswerError("The provider mixed the pieces of its tool calls.") from None
    ending.refusal += delta.refusal
    ending.finish_reason = delta.finish_reason or ending.finish_reason
    ending.native_finish_reason = delta.native_finish_reason or ending.native_finish_reason
    if delta.HasField("stop_sequence"):
        ending.stop_sequence = delta.stop_sequence
    return events


def _objects(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
