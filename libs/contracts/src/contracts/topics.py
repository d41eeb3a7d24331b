"""The Kafka topics: name, value, key rule, and the headers that every record carries.

Records are CloudEvents 1.0 in binary mode: the value is the bare protobuf message, everything else is in `ce_` headers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from google.protobuf.message import Message

from turnpike.accounts.v1 import guardrail_pb2, records_pb2
from turnpike.health.v1 import endpoint_verdict_pb2, observation_pb2
from turnpike.metering.v1 import endpoint_stats_pb2
from turnpike.usage.v1 import usage_event_pb2

CONTENT_TYPE = "application/protobuf"


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic. `key` says what its records are keyed by; a compacted topic keeps the last record of each key.

    `writer` and `readers` are services and roles of services.
    """

    name: str
    event_type: str
    message_type: type[Message]
    key: str
    compacted: bool
    writer: str
    readers: tuple[str, ...]
    dead_letters: str | None = None


USAGE = Topic(
    name="turnpike.usage.v1",
    event_type="turnpike.usage.recorded.v1",
    message_type=usage_event_pb2.UsageEvent,
    key="org_id",
    compacted=False,
    writer="router, edge, accounts",
    readers=("accounts", "metering", "broadcast"),
    dead_letters="turnpike.usage.v1.dlq",
)
HEALTH = Topic(
    name="turnpike.health.v1",
    event_type="turnpike.health.verdict.v1",
    message_type=endpoint_verdict_pb2.EndpointVerdict,
    key="endpoint_id",
    compacted=True,
    writer="health-prober",
    readers=("router",),
)
OBSERVATIONS = Topic(
    name="turnpike.observations.v1",
    event_type="turnpike.health.observed.v1",
    message_type=observation_pb2.Observation,
    key="instance",
    compacted=False,
    writer="router",
    readers=("router", "health-prober"),
)
KEYS = Topic(
    name="turnpike.keys.v1",
    event_type="turnpike.keys.changed.v1",
    message_type=records_pb2.KeyRecord,
    key="digest",
    compacted=True,
    writer="accounts",
    readers=("edge", "broadcast"),
)
ORGS = Topic(
    name="turnpike.orgs.v1",
    event_type="turnpike.orgs.changed.v1",
    message_type=records_pb2.OrgRecord,
    key="org_id",
    compacted=True,
    writer="accounts",
    readers=("edge",),
)
ENDPOINT_STATS = Topic(
    name="turnpike.endpoint-stats.v1",
    event_type="turnpike.endpoint-stats.measured.v1",
    message_type=endpoint_stats_pb2.EndpointStats,
    key="endpoint_id",
    compacted=True,
    writer="metering",
    readers=("edge", "router"),
)
GUARDRAILS = Topic(
    name="turnpike.guardrails.v1",
    event_type="turnpike.guardrails.changed.v1",
    message_type=guardrail_pb2.GuardrailRecord,
    key="guardrail_id",
    compacted=True,
    writer="accounts",
    readers=("edge",),
)

ALL = (USAGE, HEALTH, OBSERVATIONS, KEYS, ORGS, ENDPOINT_STATS, GUARDRAILS)


def cloud_event_headers(
    topic: Topic, *, event_id: str, source: str, time: datetime, subject: str, extra: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Build the headers of a record.

    Args:
        topic: where the record goes.
        event_id: identifies the fact; a repeat of the record has the same one.
        source: the process that states it, such as `/router/router-0`.
        time: when it happened; must carry a time zone.
        subject: the thing that it is about, such as the generation id.
        extra: further headers, such as `traceparent`.
    """
    headers = {
        "ce_specversion": "1.0",
        "ce_id": event_id,
        "ce_source": source,
        "ce_type": topic.event_type,
        "ce_time": time.isoformat(),
        "ce_subject": subject,
        "content-type": CONTENT_TYPE,
    }
    if extra:
        headers.update(extra)
    return headers
