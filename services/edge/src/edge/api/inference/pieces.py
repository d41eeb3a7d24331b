"""The router's pieces of an answer as the values that the pure conversions of `dialects` take."""

from __future__ import annotations

import msgspec

from dialects.answers import ChoiceDelta, FinishReason, ToolCallPiece
from turnpike.router.v1 import completion_pb2

_decode = msgspec.json.Decoder().decode


def choice_delta_from_proto(delta: completion_pb2.ChoiceDelta) -> ChoiceDelta:
    """Read a piece.

    Raises:
        ValueError: a finish reason that nobody knows.
        msgspec.DecodeError: a member that is not JSON.
    """
    return ChoiceDelta(
        index=delta.index,
        content=delta.content if delta.HasField("content") else None,
        reasoning=delta.reasoning if delta.HasField("reasoning") else None,
        refusal=delta.refusal if delta.HasField("refusal") else None,
        tool_calls=tuple(
            ToolCallPiece(call.index, call.id, call.type, call.name, call.arguments) for call in delta.tool_calls
        )
        if delta.tool_calls
        else (),
        finish_reason=FinishReason(delta.finish_reason) if delta.HasField("finish_reason") else None,
        native_finish_reason=delta.native_finish_reason if delta.HasField("native_finish_reason") else None,
        extra=_decode(delta.extra_json) if delta.extra_json else None,
        logprobs=_decode(delta.logprobs_json) if delta.logprobs_json else None,
    )
