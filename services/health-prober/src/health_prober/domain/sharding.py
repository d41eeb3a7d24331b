"""Which replica probes an endpoint, without the replicas talking to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeVar

from contracts.ids import EndpointId

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Shard:
    """One replica out of `count`, numbered from 0."""

    index: int
    count: int

    def owns(self, endpoint_id: EndpointId) -> bool:
        """Whether this replica probes the endpoint. Exactly one of them does."""
        return owner(endpoint_id, self.count) == self.index

    def owned(self, targets: Mapping[EndpointId, V]) -> Mapping[EndpointId, V]:
        """Those that this replica probes, in their order."""
        return {endpoint_id: target for endpoint_id, target in targets.items() if self.owns(endpoint_id)}


def owner(endpoint_id: EndpointId, count: int) -> int:
    """Return the number of the replica that probes an endpoint: the one whose hash with it is the highest.

    By this rule (rendezvous hashing) another replica takes its share evenly from those that are there, and no endpoint
    moves between those.
    """
    return max(range(count), key=lambda index: _weight(endpoint_id, index))


def _weight(endpoint_id: EndpointId, index: int) -> tuple[int, int]:
    digest = blake2b(f"{endpoint_id} {index}".encode(), digest_size=8).digest()
    # Two equal hashes must not make two owners.
    return int.from_bytes(digest, "big"), index
