"""Every topic has examples, and each survives the wire and the checks of its consumers."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf.message import Message

from contracts import topics, usage
from contracts.testing.examples import FOLDERS, iter_examples
from turnpike.usage.v1 import usage_event_pb2

ROOT = Path(__file__).parent.parent / "examples"

EVERY = [
    pytest.param(example, id=f"{topic.message_type.__name__}-{name}")
    for topic in topics.ALL
    for name, example in iter_examples(topic.message_type, ROOT)
]


def test_every_folder_belongs_to_a_topic() -> None:
    assert {path.name for path in ROOT.iterdir()} == set(FOLDERS.values())
    assert {topic.message_type.__name__ for topic in topics.ALL} == set(FOLDERS)


@pytest.mark.parametrize("topic", topics.ALL, ids=lambda topic: topic.name)
def test_every_topic_has_examples(topic: topics.Topic) -> None:
    assert list(iter_examples(topic.message_type, ROOT))


@pytest.mark.parametrize("example", EVERY)
def test_example_survives_the_wire(example: Message) -> None:
    assert type(example).FromString(example.SerializeToString()) == example


@pytest.mark.parametrize("example", EVERY)
def test_key_field_of_its_topic_is_set(example: Message) -> None:
    topic = next(topic for topic in topics.ALL if topic.message_type is type(example))
    assert getattr(example, topic.key)


@pytest.mark.parametrize("example", EVERY)
def test_unknown_fields_of_a_newer_producer_are_kept(example: Message) -> None:
    # Field 1999 with a varint: what an older reader sees of a field that it does not know.
    newer = example.SerializeToString() + bytes([0xF8, 0x7C, 0x07])
    parsed = type(example).FromString(newer)
    assert parsed.SerializeToString() == newer


@pytest.mark.parametrize(
    "event", [pytest.param(event, id=name) for name, event in iter_examples(usage_event_pb2.UsageEvent, ROOT)]
)
def test_usage_examples_pass_the_consumers_check(event: usage_event_pb2.UsageEvent) -> None:
    usage.validate_usage_event(event)
