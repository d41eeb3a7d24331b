"""Price versions: what usage may be charged at. Immutable; a change of price is another version."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol


class KnownPrice(NamedTuple):
    """A price version: at which endpoint it holds, and its amounts as they are on the wire."""

    version: str
    endpoint_id: str
    message: bytes


class PriceStore(Protocol):
    """The price book. Every method may raise StoreUnavailableError."""

    async def learn(self, prices: Sequence[KnownPrice], now: datetime) -> Sequence[KnownPrice]:
        """Keep versions that are new; one that is known keeps the amounts that it has.

        Returns:
            What the book has of these versions now.
        """
        ...

    async def find(self, versions: Collection[str]) -> Sequence[KnownPrice]:
        """Look versions up; unknown ones are not among the answer."""
        ...
