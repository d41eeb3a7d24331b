"""Usage events on local disk, durable before their answers end, kept until Kafka has them and an hour longer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from router.domain.errors import UsageLogError
from router.domain.settlement import GenerationRecord
from servicekit.clock import Clock
from servicekit.failpoints import Failpoints
from servicekit.spool import RecordSpool, SpoolEntry, SpoolLimits

Encode = Callable[[GenerationRecord], SpoolEntry]

PREFIX = "usage"


class UsageSpool(RecordSpool):
    """A usage log in a directory, of which it is the only user."""

    def __init__(
        self, directory: Path, encode: Encode, clock: Clock, limits: SpoolLimits, failpoints: Failpoints | None = None
    ) -> None:
        """Make a spool.

        Args:
            directory: made when it is missing.
            encode: makes the entry of a record.
            clock: for the age of files.
            limits: of the directory.
            failpoints: where a test kills the process.
        """
        super().__init__(directory, clock, limits, prefix=PREFIX, failpoints=failpoints, error=UsageLogError)
        self._encode = encode

    def append(self, record: GenerationRecord) -> Awaitable[None]:
        """Keep a record. See `router.domain.ports.UsageLog`."""
        return self.keep(self._encode(record))
