"""What probes may cost: a cap for each endpoint and day, because probing a dear model day and night adds up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from contracts.money import NanoUsd


@dataclass(frozen=True, slots=True)
class DaySpend:
    """What the probes of one endpoint have cost on one day, in UTC."""

    day: date
    spent: NanoUsd


def spend_on(spend: DaySpend | None, now: datetime) -> DaySpend:
    """Return the spend of the day of `now`: what was carried over from another day is gone."""
    today = now.astimezone(UTC).date()
    return spend if spend is not None and spend.day == today else DaySpend(today, NanoUsd(0))


def affords(spend: DaySpend, cap: NanoUsd, highest_cost: NanoUsd) -> bool:
    """Whether one more probe stays within the cap even if it costs the most that it can."""
    return spend.spent + highest_cost <= cap


def add_cost(spend: DaySpend, cost: NanoUsd) -> DaySpend:
    """Book one probe."""
    return DaySpend(spend.day, NanoUsd(spend.spent + cost))


def next_day(now: datetime) -> datetime:
    """The next midnight in UTC, when budgets are whole again."""
    tomorrow = now.astimezone(UTC).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time(), UTC)
