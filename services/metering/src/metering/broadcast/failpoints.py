"""Places at which a test kills the sender."""

from __future__ import annotations

from typing import Final

POINTS: Final = ("batch-planned", "batch-sent", "batch-finished", "events-spooled")
