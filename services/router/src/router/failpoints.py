"""The places at which a test can kill the router; `servicekit.failpoints` does it."""

from __future__ import annotations

from typing import Final

from servicekit import spool

POINTS: Final = spool.POINTS
