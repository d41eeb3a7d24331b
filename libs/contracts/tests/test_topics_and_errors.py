from __future__ import annotations

from datetime import UTC, datetime

import grpc

from contracts import topics
from contracts.errors import TREATMENTS, ErrorReason
from contracts.topic_layout import LAYOUTS


def test_every_reason_has_a_treatment_with_a_real_grpc_code() -> None:
    assert set(TREATMENTS) == set(ErrorReason)
    for treatment in TREATMENTS.values():
        assert hasattr(grpc.StatusCode, treatment.grpc_code)
        assert 400 <= treatment.http_status < 600


def test_topic_names_are_unique_and_versioned() -> None:
    names = [topic.name for topic in topics.ALL]
    assert len(set(names)) == len(names)
    assert all(name.startswith("turnpike.") and name.endswith(".v1") for name in names)


def test_every_topic_key_is_a_field_of_its_message() -> None:
    for topic in topics.ALL:
        assert topic.key in topic.message_type.DESCRIPTOR.fields_by_name


def test_every_topic_has_a_layout_that_keeps_what_it_needs() -> None:
    layouts = {layout.name: layout for layout in LAYOUTS}
    letters = {topic.dead_letters for topic in topics.ALL if topic.dead_letters}
    assert set(layouts) == {topic.name for topic in topics.ALL} | letters
    for topic in topics.ALL:
        assert (layouts[topic.name].kept.get("cleanup.policy") == "compact") is topic.compacted
    assert all(layouts[name].kept["retention.ms"] == "-1" for name in letters)


def test_one_broker_cannot_ask_for_two_replicas_in_step() -> None:
    usage = LAYOUTS[0]
    assert usage.settings(1)["min.insync.replicas"] == "1"
    assert usage.settings(3) == {"min.insync.replicas": "2", "retention.ms": "3456000000"}


def test_headers_are_a_cloud_event_in_binary_mode() -> None:
    headers = topics.cloud_event_headers(
        topics.USAGE,
        event_id="e1",
        source="/router/r0",
        time=datetime(2026, 11, 24, 10, 0, tzinfo=UTC),
        subject="gen-1",
        extra={"traceparent": "00-aa-bb-01"},
    )
    assert headers == {
        "ce_specversion": "1.0",
        "ce_id": "e1",
        "ce_source": "/router/r0",
        "ce_type": "turnpike.usage.recorded.v1",
        "ce_time": "2026-11-24T10:00:00+00:00",
        "ce_subject": "gen-1",
        "content-type": "application/protobuf",
        "traceparent": "00-aa-bb-01",
    }
