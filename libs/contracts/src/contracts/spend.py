"""What was spent by period, and when a period ends. All periods are UTC: days, weeks from Monday, calendar months."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import IntEnum

from turnpike.accounts.v1 import records_pb2

_EPOCH = date(1970, 1, 1)
# The last day that fits into what the standard library counts, in days since 1970.
_LAST_DAY = (date.max - _EPOCH).days


class SpendInterval(IntEnum):
    """How often an amount that may be spent is there anew; the numbers are those of the wire."""

    NEVER = 0
    DAILY = 1
    WEEKLY = 2
    MONTHLY = 3

    def starts(self, day: date) -> date:
        """The first day of the period that a day is in; the earliest day of all for a period that never ends."""
        match self:
            case SpendInterval.DAILY:
                return day
            case SpendInterval.WEEKLY:
                return day - timedelta(days=day.weekday())
            case SpendInterval.MONTHLY:
                return day.replace(day=1)
            case _:
                return date.min

    def resets_at(self, now: datetime) -> datetime | None:
        """When the period that a moment is in ends; None for one that never does."""
        day = now.astimezone(UTC).date()
        match self:
            case SpendInterval.DAILY:
                following = day + timedelta(days=1)
            case SpendInterval.WEEKLY:
                following = self.starts(day) + timedelta(days=7)
            case SpendInterval.MONTHLY:
                following = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
            case _:
                return None
        return datetime.combine(following, time(), UTC)


@dataclass(frozen=True, slots=True)
class PeriodSpend:
    """Amounts in nano-dollars: ever, on a day, in its week and in its month."""

    total: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0


@dataclass(frozen=True, slots=True)
class Spend:
    """What was spent until a day.

    Attributes:
        day: that the figures are of.
        credit: charged to the credit of the organisation.
        byok: spent at providers with customers' own keys, at list price.
    """

    day: date = _EPOCH
    credit: PeriodSpend = PeriodSpend()
    byok: PeriodSpend = PeriodSpend()

    def at(self, day: date) -> Spend:
        """The same as seen on a day: what was spent in a period that is over counts no more."""
        return Spend(day, self._seen(self.credit, day), self._seen(self.byok, day))

    def within(self, interval: SpendInterval, day: date, *, with_byok: bool = False) -> int:
        """What was spent in the period that a day is in, in nano-dollars."""
        if interval.starts(day) > self.day:
            return 0
        amount = _amount(self.credit, interval)
        return amount + _amount(self.byok, interval) if with_byok else amount

    def _seen(self, spent: PeriodSpend, day: date) -> PeriodSpend:
        return PeriodSpend(
            spent.total,
            spent.daily if SpendInterval.DAILY.starts(day) <= self.day else 0,
            spent.weekly if SpendInterval.WEEKLY.starts(day) <= self.day else 0,
            spent.monthly if SpendInterval.MONTHLY.starts(day) <= self.day else 0,
        )


def _amount(spent: PeriodSpend, interval: SpendInterval) -> int:
    match interval:
        case SpendInterval.DAILY:
            return spent.daily
        case SpendInterval.WEEKLY:
            return spent.weekly
        case SpendInterval.MONTHLY:
            return spent.monthly
        case _:
            return spent.total


def spend_from_proto(message: records_pb2.Spend) -> Spend:
    """Read figures; a day that no calendar has counts as the earliest."""
    day = _EPOCH + timedelta(days=message.day) if 0 <= message.day <= _LAST_DAY else _EPOCH
    return Spend(
        day,
        PeriodSpend(message.total_nano_usd, message.daily_nano_usd, message.weekly_nano_usd, message.monthly_nano_usd),
        PeriodSpend(
            message.byok_total_nano_usd,
            message.byok_daily_nano_usd,
            message.byok_weekly_nano_usd,
            message.byok_monthly_nano_usd,
        ),
    )


def spend_to_proto(spend: Spend) -> records_pb2.Spend:
    """Write figures."""
    return records_pb2.Spend(
        day=(spend.day - _EPOCH).days,
        total_nano_usd=spend.credit.total,
        daily_nano_usd=spend.credit.daily,
        weekly_nano_usd=spend.credit.weekly,
        monthly_nano_usd=spend.credit.monthly,
        byok_total_nano_usd=spend.byok.total,
        byok_daily_nano_usd=spend.byok.daily,
        byok_weekly_nano_usd=spend.byok.weekly,
        byok_monthly_nano_usd=spend.byok.monthly,
    )
