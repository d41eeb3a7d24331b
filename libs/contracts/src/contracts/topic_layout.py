"""How the topics lie on a cluster: partitions, replicas, and what is kept. Services do not create topics; operators do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from contracts import topics

REPLICAS = 3
IN_SYNC_REPLICAS = 2  # that have a record before it counts as taken
_COMPACTED = {"cleanup.policy": "compact"}


@dataclass(frozen=True, slots=True)
class TopicLayout:
    """One topic.

    Attributes:
        name: of the topic.
        partitions: how many instances can share its reading. More can be added later; fewer cannot.
        kept: settings of the topic about what is kept, as Kafka names them.
        replicas: of each partition.
    """

    name: str
    partitions: int
    kept: Mapping[str, str] = field(default_factory=dict)
    replicas: int = REPLICAS

    def settings(self, brokers: int) -> dict[str, str]:
        """All settings of the topic on a cluster of so many brokers: two replicas must be in step where there are two."""
        return {"min.insync.replicas": str(min(IN_SYNC_REPLICAS, self.replicas, brokers)), **self.kept}


def _milliseconds(duration: timedelta) -> str:
    return str(duration // timedelta(milliseconds=1))


LAYOUTS = (
    # Forty days let a store be rebuilt from the last month's statement on.
    TopicLayout(topics.USAGE.name, 12, {"retention.ms": _milliseconds(timedelta(days=40))}),
    TopicLayout(f"{topics.USAGE.dead_letters}", 1, {"retention.ms": "-1"}),
    TopicLayout(topics.HEALTH.name, 1, _COMPACTED),
    TopicLayout(
        topics.OBSERVATIONS.name,
        1,
        {
            "retention.ms": _milliseconds(timedelta(minutes=10)),
            "segment.ms": _milliseconds(timedelta(minutes=5)),
        },
    ),
    TopicLayout(topics.KEYS.name, 6, _COMPACTED),
    TopicLayout(topics.ORGS.name, 6, _COMPACTED),
    TopicLayout(topics.GUARDRAILS.name, 6, _COMPACTED),
    TopicLayout(topics.ENDPOINT_STATS.name, 1, _COMPACTED),
)
