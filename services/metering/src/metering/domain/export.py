"""Usage events as files."""

from __future__ import annotations

from enum import Enum
from typing import Final, Protocol

from metering.domain.usage import UnixMs

# A file is made in memory: some 30 MB of it.
MAX_ROWS: Final = 100_000


class ExportFormat(Enum):
    """Form of a file."""

    CSV = "csv"
    PARQUET = "parquet"


class UsageExport(Protocol):
    """Makes files of usage events."""

    async def export(self, org_id: str, start: UnixMs, end: UnixMs, form: ExportFormat) -> bytes:
        """Write the events that started in a period, each once, in order of their start.

        Raises:
            InvalidQuestionError: there are more than `MAX_ROWS`.
            UsageLogError: the store cannot say.
        """
        ...
