"""What can be asked of a model, and which models answer it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from turnpike.usage.v1 import usage_event_pb2


class Operation(StrEnum):
    """What a request asks for."""

    COMPLETION = "completion"
    EMBEDDINGS = "embeddings"
    RERANK = "rerank"
    SPEECH = "speech"
    TRANSCRIPTION = "transcription"
    IMAGES = "images"


OPERATION_NUMBERS: Final[Mapping[Operation, usage_event_pb2.Operation.ValueType]] = MappingProxyType(
    {
        Operation.COMPLETION: usage_event_pb2.OPERATION_COMPLETION,
        Operation.EMBEDDINGS: usage_event_pb2.OPERATION_EMBEDDINGS,
        Operation.RERANK: usage_event_pb2.OPERATION_RERANK,
        Operation.SPEECH: usage_event_pb2.OPERATION_SPEECH,
        Operation.TRANSCRIPTION: usage_event_pb2.OPERATION_TRANSCRIPTION,
        Operation.IMAGES: usage_event_pb2.OPERATION_IMAGES,
    }
)
OPERATIONS_BY_NUMBER: Final[Mapping[int, Operation]] = MappingProxyType(
    {number: operation for operation, number in OPERATION_NUMBERS.items()}
)
# The modalities that are written by an operation of their own; text, audio and video come in completions.
_OWN: Final = ("embeddings", "rerank", "speech", "transcription")


def operations_of(output_modalities: Collection[str]) -> frozenset[Operation]:
    """Say what a model answers by what it writes.

    A model that writes images beside text does so in its completions; one that writes nothing else has no completions.
    """
    found = {Operation(modality) for modality in output_modalities if modality in _OWN}
    if "image" in output_modalities and "text" not in output_modalities:
        found.add(Operation.IMAGES)
    if any(modality in output_modalities for modality in ("text", "audio", "video")):
        found.add(Operation.COMPLETION)
    return frozenset(found)
