"""What moved the credit of an organisation in one month. Values only; amounts in nano-dollars."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from accounts.domain.errors import InvalidFieldError
from accounts.domain.payments import Purchase

_MONTH = re.compile(r"(20[0-9]{2})-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True)
class Month:
    """A calendar month in UTC: from `start` up to but not including `end`."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """What one model was used for."""

    model: str
    generations: int
    prompt_tokens: int
    completion_tokens: int
    cost: int


@dataclass(frozen=True, slots=True)
class KindSum:
    """The entries of one reason: their number, and what they added to the balance."""

    reason: str
    entries: int
    amount: int


@dataclass(frozen=True, slots=True)
class Statement:
    """A month. `opening` and the movements add up to `closing`."""

    org_name: str
    opening: int
    closing: int
    movements: Sequence[KindSum]
    usage: Sequence[ModelUsage]
    purchases: Sequence[Purchase]


class StatementStore(Protocol):
    """Makes statements out of the ledger."""

    async def statement(self, org_id: UUID, month: Month) -> Statement:
        """Return the statement of a month. Raises NotFoundError for the organisation."""
        ...


def checked_month(text: str) -> Month:
    """Read a month.

    Raises:
        InvalidFieldError: not YYYY-MM of this century.
    """
    found = _MONTH.fullmatch(text)
    if found is None:
        raise InvalidFieldError("month", "must be a month such as 2026-01")
    year, month = int(found[1]), int(found[2])
    end = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    return Month(datetime(year, month, 1, tzinfo=UTC), end)
