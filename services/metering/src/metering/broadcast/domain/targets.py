"""Destinations as their sender knows them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from contracts.broadcast import DestinationType, FilterRules

_BITS: Final = 64


@dataclass(frozen=True, slots=True)
class TargetConfig:
    """Where a destination is, in the open. Shows nothing of itself."""

    members: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Target:
    """A destination. `created_ms` in milliseconds of Unix time; `revision` rises with every change; None restricts nothing."""

    destination_id: str
    org_id: str
    workspace_id: str
    type: DestinationType
    version: int
    revision: int
    created_ms: int
    active: bool
    privacy_mode: bool
    sampling_rate: float
    allowed_digests: frozenset[str] | None
    rules: FilterRules | None
    sends_cost: bool
    sends_identity: bool
    sends_request_context: bool

    def samples(self, session_id: str, generation_id: str) -> bool:
        """Whether a generation is of the share that is sent: all of a session, or none of it, at every destination alike."""
        if self.sampling_rate >= 1:
            return True
        digest = hashlib.sha256((session_id or generation_id).encode()).digest()
        return int.from_bytes(digest[: _BITS // 8], "big") < int(self.sampling_rate * 2**_BITS)
