"""The places at which a test can kill accounts; `servicekit.failpoints` does it."""

from __future__ import annotations

from typing import Final

POINTS: Final = (
    "settle.before",  # records are in memory only
    "settle.written",  # everything is written, nothing is committed
    "settle.after",  # the batch is committed with its offset, memory does not know yet
    "changes.sent",  # changes are acknowledged by the broker, the outbox still has them
    "changes.forgotten",  # the outbox has forgotten them
    "everything.sent",  # a new broker holds everything, the books do not know it yet
    "everything.marked",  # the books know it
)
