"""The garbage collector of a process that holds very many small objects on purpose."""

from __future__ import annotations

import gc
from typing import Final

_THRESHOLDS: Final = (250_000, 20, 100)


def collect_rarely() -> None:
    """Look for cycles less often, and never again among what is there now.

    Each look of the last generation goes through every object that lives. Where tens of thousands of records wait in memory
    that was a third of the CPU of reading them. Records are in no cycle: they go when their last reference does.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
