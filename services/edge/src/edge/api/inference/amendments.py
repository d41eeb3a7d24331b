"""What the gateway itself adds to an answer on its way: documents that were read, JSON that was mended, and the stages of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from dialects.healing import heal
from turnpike.router.v1 import completion_pb2, policy_pb2, router_service_pb2

_encode = msgspec.json.Encoder().encode
_HEALED: Final = "The answer was not valid JSON and was mended"


@dataclass(frozen=True, slots=True)
class Stage:
    """Something that the gateway did with a request or its answer, for `openrouter_metadata.pipeline`."""

    type: str
    name: str
    summary: str
    data: dict[str, Any] = field(default_factory=dict)

    def to_proto(self) -> policy_pb2.PipelineStage:
        """Put it on the wire."""
        return policy_pb2.PipelineStage(
            type=self.type, name=self.name, summary=self.summary, data_json=_encode(self.data)
        )


@dataclass(frozen=True, slots=True)
class Amendments:
    """What is added to one answer.

    Attributes:
        stages: of the request's preparation.
        annotations: of documents that were read, for the first choice's message.
        heals: whether broken JSON is mended; only of an answer that comes in one piece.
    """

    stages: Sequence[Stage] = ()
    annotations: Sequence[dict[str, Any]] = field(default=(), repr=False)
    heals: bool = False

    def __bool__(self) -> bool:
        """Whether there is anything to add."""
        return bool(self.stages or self.annotations or self.heals)

    def apply(self, message: router_service_pb2.CompleteResponse) -> None:
        """Add to a message of the router, in place."""
        stages = list(self.stages) if message.HasField("route") else []
        if self.heals:
            stages += [stage for delta in message.deltas if (stage := _mend(delta)) is not None]
        if message.HasField("route") and self.annotations:
            noted = completion_pb2.ChoiceDelta(index=0, extra_json=_encode({"annotations": list(self.annotations)}))
            rest = list(message.deltas)
            del message.deltas[:]
            message.deltas.extend([noted, *rest])
        if stages and message.HasField("route") and message.route.HasField("metadata"):
            message.route.metadata.pipeline.extend(stage.to_proto() for stage in stages)


def _mend(delta: completion_pb2.ChoiceDelta) -> Stage | None:
    if not delta.HasField("content"):
        return None
    mended = heal(delta.content)
    if mended is None:
        return None
    data = {"choice": delta.index, "original_length": len(delta.content), "length": len(mended)}
    delta.content = mended
    return Stage("response_healing", "response-healing", _HEALED, data)
