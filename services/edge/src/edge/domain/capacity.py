"""How much this process has in hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edge.domain.errors import BusyError


class Capacity:
    """How many requests this process serves at the same time."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.used = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """Take a place for the length of the block.

        Raises:
            BusyError: all are taken.
        """
        if self.used >= self._limit:
            raise BusyError
        self.used += 1
        try:
            yield
        finally:
            self.used -= 1
