"""What the prober needs from the world."""

from __future__ import annotations

from typing import Protocol

from contracts.catalog import Endpoint
from contracts.ids import EndpointId
from dialects.upstream import UpstreamRequest
from health_prober.domain.budget import DaySpend
from health_prober.domain.verdict import Verdict


class EndpointCaller(Protocol):
    """Sends one request to an endpoint."""

    async def call(self, endpoint: Endpoint, api_key: str, request: UpstreamRequest) -> tuple[int, bytes]:
        """Return status and body of the answer.

        Raises:
            UnreachableError: no connection, or it broke.
            ProbeTimeoutError: no whole answer in time.
        """
        ...


class VerdictLog(Protocol):
    """Takes verdicts to whoever listens."""

    def publish(self, verdict: Verdict) -> None:
        """Make a verdict known, soon, and again for as long as it is fresh and none newer is there. Never blocks."""
        ...


class SpendLog(Protocol):
    """Remembers what probes cost, also over a restart."""

    def get(self, endpoint_id: EndpointId) -> DaySpend | None:
        """The last spend put down, None when there is none."""
        ...

    def put(self, endpoint_id: EndpointId, spend: DaySpend) -> None:
        """Put down a spend. Never blocks; a crash may lose the last second."""
        ...
