"""Usage events as files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from enum import Enum
from typing import Protocol

from metering.domain.usage import UnixMs


class ExportFormat(Enum):
    """Form of a file."""

    CSV = "csv"
    PARQUET = "parquet"


class UsageExport(Protocol):
    """Makes files of usage events."""

    def export(self, org_id: str, start: UnixMs, end: UnixMs, form: ExportFormat) -> AsyncIterator[bytes]:
        """Write the events that started in a period, each once, in order of their start, in pieces of some megabytes.

        What the store learns while the file is being written is in it when it belongs to what has not been written yet.

        Raises:
            UsageLogError: the store cannot say.
        """
        ...
