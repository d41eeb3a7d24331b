from __future__ import annotations

import pytest

from contracts.operations import OPERATION_NUMBERS, Operation, operations_of
from turnpike.usage.v1 import usage_event_pb2


@pytest.mark.parametrize(
    ("output_modalities", "operations"),
    [
        (["text"], {Operation.COMPLETION}),
        (["text", "image"], {Operation.COMPLETION}),
        (["text", "audio"], {Operation.COMPLETION}),
        (["image"], {Operation.IMAGES}),
        (["embeddings"], {Operation.EMBEDDINGS}),
        (["rerank"], {Operation.RERANK}),
        (["speech"], {Operation.SPEECH}),
        (["transcription"], {Operation.TRANSCRIPTION}),
    ],
)
def test_what_a_model_writes_says_what_can_be_asked_of_it(
    output_modalities: list[str], operations: set[Operation]
) -> None:
    assert operations_of(output_modalities) == operations


def test_every_operation_has_a_number_of_its_own_on_the_wire() -> None:
    numbers = set(usage_event_pb2.Operation.values()) - {usage_event_pb2.OPERATION_UNSPECIFIED}
    assert set(OPERATION_NUMBERS) == set(Operation)
    assert set(OPERATION_NUMBERS.values()) == numbers
