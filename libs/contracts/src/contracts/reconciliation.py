"""The comparison of books that were kept apart: the ledger, the usage events in ClickHouse, and providers' invoices. Pure."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from typing import NamedTuple

from contracts import money
from turnpike.metering.v1 import reconciliation_service_pb2
from turnpike.usage.v1 import reconciliation_pb2, usage_event_pb2

_ID_COLUMNS = ("id", "generation_id", "request_id", "upstream_id")
_COST_COLUMNS = ("cost_usd", "cost", "amount_usd", "amount")


class InvalidInvoiceError(ValueError):
    """A file is not an invoice that can be read; the message says why."""


class Group(NamedTuple):
    """What figures are added up by. `hour` is the start of an hour of ends (UTC)."""

    org_id: str
    hour: datetime
    price_version: str


@dataclass(frozen=True, slots=True)
class UsageSum:
    """What one book says of a group. Amounts in nano-dollars; `ledger` is what the entries say, where a book has entries."""

    events: int = 0
    cost: int = 0
    provider_cost: int = 0
    ledger: int | None = None
    unreconciled: int = 0


NOTHING = UsageSum()


@dataclass(frozen=True, slots=True)
class Difference:
    """A group of which the books do not say the same."""

    group: Group
    ledger: UsageSum
    usage: UsageSum

    @property
    def nano(self) -> int:
        """How far the books are apart, in nano-dollars, whichever of their figures differ most."""
        booked = self.ledger.cost if self.ledger.ledger is None else self.ledger.ledger
        return max(
            abs(booked - self.usage.cost),
            abs(booked - self.ledger.cost),
            abs(self.ledger.provider_cost - self.usage.provider_cost),
        )


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What a comparison found. Amounts in nano-dollars.

    Attributes:
        groups: how many were compared.
        events: generations, by the ledger.
        volume: of what callers were charged, by the ledger's entries.
        differences: the groups that do not agree, in order.
        agreed_until: end of the last hour up to which every group agrees; the end of the period when all do.
        unreconciled: generations of which nobody knows the end.
    """

    groups: int
    events: int
    volume: int
    differences: Sequence[Difference]
    agreed_until: datetime
    unreconciled: int

    @property
    def agrees(self) -> bool:
        """Whether the books say the same to the nano-dollar."""
        return not self.differences

    @property
    def clearing(self) -> float:
        """The part of the volume that both books have, 0 to 1."""
        apart = sum(each.nano for each in self.differences)
        return 1.0 if not apart else max(0.0, 1.0 - apart / max(self.volume, apart))

    @property
    def explainability(self) -> float:
        """The part of the generations whose charge follows from known usage and price in both books, 0 to 1."""
        odd = self.unreconciled + sum(max(each.ledger.events, each.usage.events) for each in self.differences)
        return 1.0 if not odd else max(0.0, 1.0 - odd / max(self.events, odd))


def compare(ledger: Mapping[Group, UsageSum], usage: Mapping[Group, UsageSum], end: datetime) -> Reconciliation:
    """Compare two books of the same closed hours.

    Args:
        ledger: what was settled, with the entries of the ledger.
        usage: what the usage events say.
        end: of the period.
    """
    differences = []
    for group in sorted({*ledger, *usage}):
        one, other = ledger.get(group, NOTHING), usage.get(group, NOTHING)
        booked = one.cost if one.ledger is None else one.ledger
        mine = (one.events, booked, one.cost, one.provider_cost)
        if mine != (other.events, other.cost, other.cost, other.provider_cost):
            differences.append(Difference(group, one, other))
    return Reconciliation(
        groups=len({*ledger, *usage}),
        events=sum(each.events for each in ledger.values()),
        volume=sum(each.cost if each.ledger is None else each.ledger for each in ledger.values()),
        differences=differences,
        agreed_until=min((each.group.hour for each in differences), default=end),
        unreconciled=sum(each.unreconciled for each in ledger.values()),
    )


class TooManyEventsError(ValueError):
    """More events than are counted at once; a shorter period has fewer."""


class Recount:
    """A third count, of the usage events as they were published: each event once, at its highest rank, whatever their order."""

    def __init__(self, start: datetime, end: datetime, most: int = 2_000_000) -> None:
        """Begin.

        Args:
            start: of the period of ends.
            end: of it.
            most: events that are held.
        """
        self._start, self._end, self._most = start, end, most
        self._latest: dict[str, tuple[int, Group, int, int]] = {}

    def __len__(self) -> int:
        """How many events there are, those that ended outside of the period too."""
        return len(self._latest)

    def add(self, event: usage_event_pb2.UsageEvent) -> None:
        """Count a valid event.

        Raises:
            TooManyEventsError: it is one too many.
        """
        known = self._latest.get(event.event_id)
        if known is not None and known[0] >= event.rank:
            return
        if known is None and len(self._latest) >= self._most:
            raise TooManyEventsError(f"more than {self._most} events: take a shorter period")
        hour = event.ended_at.ToDatetime(UTC).replace(minute=0, second=0, microsecond=0)
        group = Group(event.org_id, hour, event.price.version)
        self._latest[event.event_id] = (event.rank, group, event.cost_nano_usd, event.provider_cost_nano_usd)

    def sums(self) -> dict[Group, UsageSum]:
        """Add up what ended in the period."""
        found: dict[Group, UsageSum] = {}
        for rank, group, cost, provider_cost in self._latest.values():
            if self._start <= group.hour < self._end:
                before = found.get(group, NOTHING)
                found[group] = UsageSum(
                    before.events + 1,
                    before.cost + cost,
                    before.provider_cost + provider_cost,
                    unreconciled=before.unreconciled + (rank == usage_event_pb2.USAGE_RANK_REAPER),
                )
        return found


@dataclass(frozen=True, slots=True)
class InvoiceDifference:
    """A line of an invoice, or a charge of ours, that the other side does not have or has at another amount (nano-dollars)."""

    upstream_id: str
    generation_id: str
    invoiced: int | None
    booked: int | None


def compare_invoice(
    lines: Mapping[str, int],
    charges: Iterable[reconciliation_service_pb2.ProviderCharge],
    tolerance_ppm: int,
) -> list[InvoiceDifference]:
    """Compare a provider's invoice with what we think that we owe it, joined by the provider's ids.

    Args:
        lines: of the invoice: nano-dollars by id.
        charges: of the same period. Those of nothing, and without an id, are nobody's line.
        tolerance_ppm: how far an invoiced amount may be from ours, in millionths of ours.
    """
    found, booked = [], set()
    for charge in charges:
        if not charge.upstream_id:
            if charge.provider_cost_nano_usd:
                found.append(InvoiceDifference("", charge.generation_id, None, charge.provider_cost_nano_usd))
            continue
        booked.add(charge.upstream_id)
        invoiced, ours = lines.get(charge.upstream_id), charge.provider_cost_nano_usd
        if invoiced is None and not ours:
            continue
        if invoiced is None or abs(invoiced - ours) * 1_000_000 > ours * tolerance_ppm:
            found.append(InvoiceDifference(charge.upstream_id, charge.generation_id, invoiced, ours))
    found += [InvoiceDifference(name, "", nano, None) for name, nano in lines.items() if name not in booked]
    return sorted(found, key=lambda each: (each.upstream_id, each.generation_id))


def read_invoice(text: str) -> dict[str, int]:
    """Read an invoice as CSV with a head: a column of the provider's ids and one of dollars; several lines of one id add up.

    Returns:
        Nano-dollars by id, rounded half to even.

    Raises:
        InvalidInvoiceError: a column is missing, or a line has no id or no amount.
    """
    rows = csv.DictReader(StringIO(text))
    names = {name.strip().lower(): name for name in rows.fieldnames or ()}
    id_column = next((names[name] for name in _ID_COLUMNS if name in names), None)
    cost_column = next((names[name] for name in _COST_COLUMNS if name in names), None)
    if id_column is None or cost_column is None:
        raise InvalidInvoiceError(
            f"needs a column of ids ({', '.join(_ID_COLUMNS)}) and one of dollars ({', '.join(_COST_COLUMNS)})"
        )
    lines: dict[str, int] = {}
    for row in rows:
        name = (row[id_column] or "").strip()
        try:
            nano = int((Decimal((row[cost_column] or "").strip()) * money.NANO_PER_USD).to_integral_value())
        except (ArithmeticError, ValueError):
            raise InvalidInvoiceError(f"line {rows.line_num}: {row[cost_column]!r} is not an amount") from None
        if not name:
            raise InvalidInvoiceError(f"line {rows.line_num} has no id")
        lines[name] = lines.get(name, 0) + nano
    return lines


def sums_from_proto(messages: Iterable[reconciliation_pb2.UsageSum], *, with_ledger: bool) -> dict[Group, UsageSum]:
    """Read sums off the wire; those of the ledger's owner have entries."""
    return {
        Group(each.org_id, each.hour.ToDatetime(UTC), each.price_version): UsageSum(
            events=each.events,
            cost=each.cost_nano_usd,
            provider_cost=each.provider_cost_nano_usd,
            ledger=each.ledger_nano_usd if with_ledger else None,
            unreconciled=each.unreconciled,
        )
        for each in messages
    }
