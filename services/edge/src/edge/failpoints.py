"""The places at which a test can kill the edge; `servicekit.failpoints` does it."""

from __future__ import annotations

from typing import Final

from servicekit import journal, spool

POINTS: Final = (*journal.POINTS, *spool.POINTS)
