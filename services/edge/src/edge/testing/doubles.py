"""Implementations of the edge's ports that live in memory."""

from __future__ import annotations

from collections.abc import Iterable

from contracts.guardrails import Guardrail
from edge.domain.errors import DependencyError, NotFoundError
from edge.domain.principal import Key, Org
from turnpike.metering.v1 import endpoint_stats_pb2
from turnpike.usage.v1 import usage_event_pb2


class MemoryKeyDirectory:
    """Keys, organisations and guardrails that a test puts there. Empty and current at first.

    Attributes:
        keys: by digest.
        orgs: by id.
        guardrails: by id.
        gone: guardrails that are known to be deleted.
        age: seconds that `age_s` reports.
    """

    def __init__(self, keys: Iterable[Key] = (), orgs: Iterable[Org] = ()) -> None:
        self.keys = {key.digest: key for key in keys}
        self.orgs: dict[str, Org] = {org.org_id: org for org in orgs}
        self.guardrails: dict[str, Guardrail] = {}
        self.gone: set[str] = set()
        self.age = 0.0

    def key(self, digest: str) -> Key | None:
        """The key with this digest, or None."""
        return self.keys.get(digest)

    def org(self, org_id: str) -> Org | None:
        """The organisation, or None."""
        return self.orgs.get(org_id)

    def guardrail(self, guardrail_id: str) -> Guardrail | None:
        """The guardrail, or None."""
        return self.guardrails.get(guardrail_id)

    def is_deleted(self, guardrail_id: str) -> bool:
        """Whether a test said that it is gone."""
        return guardrail_id in self.gone

    def age_s(self) -> float:
        """What a test set."""
        return self.age


class MemoryGenerationRecords:
    """Records of generations in a dictionary.

    Attributes:
        events: by generation id.
        asked: how often it was asked.
        down: whether every call fails.
    """

    def __init__(self) -> None:
        self.events: dict[str, usage_event_pb2.UsageEvent] = {}
        self.asked = 0
        self.down = False

    async def get(self, generation_id: str, org_id: str) -> usage_event_pb2.UsageEvent:
        """Return one record."""
        self.asked += 1
        if self.down:
            raise DependencyError("metering")
        event = self.events.get(generation_id)
        if event is None or event.org_id != org_id:
            raise NotFoundError(f"Generation {generation_id} not found")
        return event


class MemoryEndpointStats:
    """Statistics that a test puts there.

    Attributes:
        known: by endpoint id.
    """

    def __init__(self) -> None:
        self.known: dict[str, endpoint_stats_pb2.EndpointStats] = {}

    def stats(self, endpoint_id: str) -> endpoint_stats_pb2.EndpointStats | None:
        """What an endpoint did."""
        return self.known.get(endpoint_id)
