"""Sums by minute, hour and day, each bucket added up anew whenever something of it has come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from itertools import groupby
from typing import Final, NamedTuple, NewType, Protocol

UnixSeconds = NewType("UnixSeconds", int)

# An insert is dated by the store before it can be read. Longer than any insert takes.
SETTLING: Final = timedelta(seconds=60)


_DAY_S: Final = 86_400


class Rollup(Enum):
    """Sums by one length of time; the value names them in the store, where some are a table.

    Those by day include what everybody did by model, category and application, which are tables of their own. Those of pages are
    smaller sums by day: by key, by kind of answer, by end user, of sessions and of providers.
    """

    ENDPOINT_MINUTES = "endpoint_minutes"
    USAGE_HOURS = "usage_hours"
    USAGE_DAYS = "usage_days"
    PAGE_DAYS = "page_days"


@dataclass(frozen=True, slots=True)
class RollupRule:
    """How a rollup is kept.

    Attributes:
        seconds: length of a bucket; buckets begin at multiples of it.
        closed_only: whether a bucket is added up only once it is over; otherwise with everything that comes.
        at_once: buckets in one statement, which bounds what it reads.
    """

    seconds: int
    closed_only: bool
    at_once: int


RULES: Final = {
    Rollup.ENDPOINT_MINUTES: RollupRule(60, closed_only=False, at_once=240),
    Rollup.USAGE_HOURS: RollupRule(3_600, closed_only=True, at_once=8),
    Rollup.USAGE_DAYS: RollupRule(86_400, closed_only=True, at_once=1),
    Rollup.PAGE_DAYS: RollupRule(86_400, closed_only=True, at_once=1),
}


def in_statements(buckets: Sequence[UnixSeconds], rule: RollupRule) -> Iterator[Sequence[UnixSeconds]]:
    """Cut buckets, in order, into what is added up at once: of one day, since the store reads from the first to the last.

    Otherwise one event that comes late would have everything read that came since.
    """
    for _, of_day in groupby(buckets, key=lambda bucket: bucket // _DAY_S):
        day = list(of_day)
        for at in range(0, len(day), rule.at_once):
            yield day[at : at + rule.at_once]


class RollupProgress(NamedTuple):
    """How far a rollup has come. Times of the store's clock, in Unix seconds.

    Attributes:
        seen_until: rows inserted before are in the rollup, as far as their buckets are over.
        closed_until: buckets that begin before are added up.
    """

    seen_until: UnixSeconds
    closed_until: UnixSeconds


class RollupStore(Protocol):
    """Where rollups are kept. Every method may raise UsageLogError."""

    async def now(self) -> UnixSeconds:
        """Tell the store's time, which rows are dated by."""
        ...

    async def progress(self, rollup: Rollup) -> RollupProgress:
        """Tell how far a rollup has come; zeros when it has not begun."""
        ...

    async def touched(
        self, rollup: Rollup, since: UnixSeconds, closed: tuple[UnixSeconds, UnixSeconds], until: UnixSeconds
    ) -> Sequence[UnixSeconds]:
        """List the buckets before `until` with rows inserted since `since`, and those with rows in the range `closed`."""
        ...

    async def rebuild(self, rollup: Rollup, buckets: Sequence[UnixSeconds]) -> None:
        """Add buckets up anew. Repeating it changes nothing."""
        ...

    async def advance(self, rollup: Rollup, progress: RollupProgress) -> None:
        """Write down how far a rollup has come."""
        ...
