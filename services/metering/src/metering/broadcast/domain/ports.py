"""What the sender needs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from metering.broadcast.domain.deliveries import Batch, Outcome, Progress, Totals, WaitingEvent
from metering.broadcast.domain.spans import GenerationSpan
from metering.broadcast.domain.targets import Target, TargetConfig


class Spool(Protocol):
    """What waits for each destination, and how far the usage topic was read. Survives the process."""

    async def offsets(self, cluster_id: str) -> Mapping[tuple[str, int], int]:
        """Return the next offset by topic and partition."""
        ...

    async def put(
        self,
        position: tuple[str, str, int, int],
        events: Sequence[tuple[str, WaitingEvent]],
    ) -> None:
        """Keep events by destination, and the position (cluster, topic, partition, next offset), in one step."""
        ...

    async def plan(
        self, destination_id: str, *, limit: int, ripe_until_ms: int, received_until_ms: int
    ) -> Batch | None:
        """Return the batch that is being sent, or put one together of the oldest events. None when it is not time.

        Args:
            destination_id: whose.
            limit: events in a new batch.
            ripe_until_ms: a batch with fewer events is put together when the oldest came until then.
            received_until_ms: events that came later are left for the next batch.
        """
        ...

    async def split(self, destination_id: str) -> None:
        """Take the batch that is being sent apart: its events wait again."""
        ...

    async def finish(self, batch: Batch, totals: Totals) -> None:
        """Forget the events of a batch, and keep the totals, in one step."""
        ...

    async def keep_totals(self, destination_id: str, totals: Totals) -> None:
        """Keep what was counted."""
        ...

    async def drop_oldest(self, destination_id: str, count: int, totals: Totals) -> int:
        """Forget the oldest events that are not being sent, so many at most; return how many."""
        ...

    async def progress(self) -> Mapping[str, Progress]:
        """Return how every destination is doing."""
        ...


class TargetDirectory(Protocol):
    """Which destinations there are."""

    async def refresh(self) -> None:
        """Learn what changed until now; when nobody answers, what is known goes on to hold."""
        ...

    def of(self, org_id: str, workspace_id: str) -> Collection[Target]:
        """Return the active destinations of a workspace."""
        ...

    def get(self, destination_id: str) -> Target | None:
        """Return an active destination."""
        ...

    def known(self, destination_id: str) -> Target | None:
        """Return a destination, active or not."""
        ...

    def active(self) -> Collection[Target]:
        """Return every active destination."""
        ...

    def config(self, target: Target) -> TargetConfig:
        """Return where a destination is. Raises UnreadableConfigError."""
        ...


class KeyNames(Protocol):
    """What API keys are called."""

    def name_of(self, key_id: str) -> str:
        """Return what its owner calls a key, empty when that is not known."""
        ...

    def digest_of(self, key_id: str) -> str:
        """Return the digest of a key, empty when that is not known."""
        ...


class ContentLibrary(Protocol):
    """What was said in generations whose key opted in."""

    async def get(self, org_id: str, generation_id: str) -> bytes | None:
        """Return what was said, as JSON; None where nothing was kept. Raises AccountsUnavailableError."""
        ...


class Sender(Protocol):
    """Sends to destinations of one type."""

    async def send(
        self, target: Target, config: TargetConfig, batch: Batch, spans: Sequence[GenerationSpan]
    ) -> Outcome:
        """Send a batch once. Raises nothing but what the destination is not to blame for."""
        ...


class DeliveryReports(Protocol):
    """Takes what became of deliveries."""

    async def report(self, sender: str, reports: Sequence[tuple[Target, Progress, bool]]) -> None:
        """Tell how destinations are doing, and which are given up. Raises AccountsUnavailableError."""
        ...
