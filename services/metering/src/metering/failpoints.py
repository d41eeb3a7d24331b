"""The places at which a test can kill metering; `servicekit.failpoints` does it."""

from __future__ import annotations

from typing import Final

POINTS: Final = (
    "plan.before",  # records are in memory only
    "plan.after",  # the plan is written, nothing is inserted
    "letters.after",  # invalid records are set aside, nothing is inserted
    "insert.after",  # rows are inserted, the plan is open
    "done.after",  # the plan is done, memory does not know yet
)
