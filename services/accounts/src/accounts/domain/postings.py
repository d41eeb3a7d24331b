"""What a batch of usage events does to the books. Pure: the same events give the same postings in any order and split.

Double entry in nano-dollars. Every entry moves a positive amount from a debit to a credit account:

| event                    | debit             | credit                  |
|--------------------------|-------------------|-------------------------|
| credit given             | `promo`           | `customer:<org>`        |
| usage, the caller's side | `customer:<org>`  | `revenue:usage`         |
| usage, our side          | `provider_cost`   | `provider_payable:<provider>` |
| the same with the organisation's own provider key | none: it pays the provider itself | |
| a cancelled copy         | `provider_cost`   | `provider_payable:<provider>` |

A copy of a request that was cancelled because another endpoint was faster costs us and not the caller. What one provider
is owed for an event, for the answer and for copies, is one entry.

A correction (the same event with a higher rank) takes back what was posted and posts anew; where the accounts are the same,
that is one entry of the difference, in the other direction where it is negative.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache
from uuid import UUID

REVENUE = "revenue:usage"
PROVIDER_COST = "provider_cost"
PROMO = "promo"

REAPER_RANK = 1
"""Of what is said of a generation that never ended: nobody is charged, and any other figures replace it."""

_USAGE = "usage"

_NAMES = 65_536  # of accounts, that are remembered: the same ones come again and again


@dataclass(frozen=True, slots=True)
class UsageFact:
    """A usage event as the books need it. Costs in nano-dollars; a higher `rank` replaces a lower one.

    `hedges` is what each provider is owed for cancelled copies of the request. `hold` was set aside for it, from the lease.
    """

    event_id: UUID
    rank: int
    generation_id: str
    org_id: UUID
    key_id: UUID
    model: str
    provider: str
    endpoint_id: str
    price_version: str
    prompt_tokens: int
    completion_tokens: int
    cost: int
    provider_cost: int
    hedges: Mapping[str, int]
    ended_at: datetime
    is_byok: bool = False
    lease_id: UUID | None = None
    hold: int = 0


@dataclass(frozen=True, slots=True)
class Posted:
    """What the books already hold of an event: amounts in nano-dollars, and whom they were posted to."""

    rank: int
    org_id: UUID
    key_id: UUID
    provider: str
    day: date
    cost: int
    provider_cost: int
    hedges: Mapping[str, int]
    is_byok: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One movement: `nano` > 0 from `debit` to `credit`. `price_version` is that of the answer, of a copy's entry too."""

    event_id: UUID
    org_id: UUID
    debit: str
    credit: str
    nano: int
    price_version: str
    reason: str


@dataclass(slots=True)
class Postings:
    """Everything that a batch changes. Sums in nano-dollars, by organisation, by key, and by key and UTC day."""

    facts: list[UsageFact] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    org_usage: dict[UUID, int] = field(default_factory=lambda: defaultdict(int))
    org_settled_until: dict[UUID, datetime] = field(default_factory=dict)
    key_spend: dict[UUID, int] = field(default_factory=lambda: defaultdict(int))
    key_day_spend: dict[tuple[UUID, date], int] = field(default_factory=lambda: defaultdict(int))
    key_used_at: dict[UUID, datetime] = field(default_factory=dict)
    key_orgs: dict[UUID, UUID] = field(default_factory=dict)
    key_byok_spend: dict[UUID, int] = field(default_factory=lambda: defaultdict(int))
    key_day_byok_spend: dict[tuple[UUID, date], int] = field(default_factory=lambda: defaultdict(int))
    org_month_byok_spend: dict[tuple[UUID, date], int] = field(default_factory=lambda: defaultdict(int))


@lru_cache(maxsize=_NAMES)
def customer(org_id: UUID) -> str:
    """The account of an organisation's credit."""
    return f"customer:{org_id}"


@lru_cache(maxsize=_NAMES)
def provider_payable(provider: str) -> str:
    """The account of what a provider is owed."""
    return f"provider_payable:{provider}"


def post(facts: Iterable[UsageFact], posted: Mapping[UUID, Posted]) -> Postings:
    """Work out the postings of a batch.

    Args:
        facts: the events, repeats and all.
        posted: what the books hold of them; an event that is missing there is new, and none is of another organisation.
    """
    latest: dict[UUID, UsageFact] = {}
    for fact in facts:
        known = latest.get(fact.event_id)
        if known is None or fact.rank > known.rank:
            latest[fact.event_id] = fact
    result = Postings()
    for fact in latest.values():
        before = posted.get(fact.event_id)
        if before is not None and before.rank >= fact.rank:
            continue
        _post_one(result, fact, before)
    return result


def _post_one(result: Postings, fact: UsageFact, before: Posted | None) -> None:
    if before is None and not fact.hedges:
        _post_plain(result, fact)
    else:
        _post_changes(result, fact, before)
    _post_byok(result, fact, before)
    result.facts.append(fact)
    org_id, key_id, ended_at = fact.org_id, fact.key_id, fact.ended_at
    result.org_usage[org_id] += fact.cost - (before.cost if before else 0)
    until = result.org_settled_until.get(org_id)
    if until is None or ended_at > until:
        result.org_settled_until[org_id] = ended_at
    used = result.key_used_at.get(key_id)
    if used is None or ended_at > used:
        result.key_used_at[key_id] = ended_at


def _post_plain(result: Postings, fact: UsageFact) -> None:
    """Post a new event without copies, as nearly all are: what `_post_changes` would, without its sums."""
    event_id, org_id, cost, version = fact.event_id, fact.org_id, fact.cost, fact.price_version
    if cost:
        result.entries.append(Entry(event_id, org_id, customer(org_id), REVENUE, cost, version, _USAGE))
        _spend(result, fact, fact.key_id, fact.ended_at.date(), cost)
    if fact.provider_cost and not fact.is_byok:
        payable = provider_payable(fact.provider)
        result.entries.append(Entry(event_id, org_id, PROVIDER_COST, payable, fact.provider_cost, version, _USAGE))


def _post_changes(result: Postings, fact: UsageFact, before: Posted | None) -> None:
    moves: dict[tuple[str, str], int] = defaultdict(int)
    spend: dict[tuple[UUID, date], int] = defaultdict(int)
    moves[customer(fact.org_id), REVENUE] += fact.cost
    moves[PROVIDER_COST, provider_payable(fact.provider)] += 0 if fact.is_byok else fact.provider_cost
    for provider, nano in fact.hedges.items():
        moves[PROVIDER_COST, provider_payable(provider)] += nano
    spend[fact.key_id, fact.ended_at.date()] += fact.cost
    if before is not None:
        moves[customer(fact.org_id), REVENUE] -= before.cost
        moves[PROVIDER_COST, provider_payable(before.provider)] -= 0 if before.is_byok else before.provider_cost
        for provider, nano in before.hedges.items():
            moves[PROVIDER_COST, provider_payable(provider)] -= nano
        spend[before.key_id, before.day] -= before.cost
    reason = _USAGE if before is None else "usage_correction"
    for (debit, credit), nano in moves.items():
        if nano < 0:
            debit, credit, nano = credit, debit, -nano
        if nano:
            result.entries.append(Entry(fact.event_id, fact.org_id, debit, credit, nano, fact.price_version, reason))
    for (key_id, day), nano in spend.items():
        if nano:
            _spend(result, fact, key_id, day, nano)


def _spend(result: Postings, fact: UsageFact, key_id: UUID, day: date, nano: int) -> None:
    result.key_spend[key_id] += nano
    result.key_day_spend[key_id, day] += nano
    result.key_orgs[key_id] = fact.org_id


def _post_byok(result: Postings, fact: UsageFact, before: Posted | None) -> None:
    """What was spent with the organisation's own provider keys is counted, and is nobody's debt here: it pays it itself."""
    if not fact.is_byok and (before is None or not before.is_byok):
        return
    changes: list[tuple[UUID, date, int]] = []
    if fact.is_byok:
        changes.append((fact.key_id, fact.ended_at.date(), fact.provider_cost))
    if before is not None and before.is_byok:
        changes.append((before.key_id, before.day, -before.provider_cost))
    for key_id, day, nano in changes:
        if nano:
            result.key_byok_spend[key_id] += nano
            result.key_day_byok_spend[key_id, day] += nano
            result.org_month_byok_spend[fact.org_id, day.replace(day=1)] += nano
            result.key_orgs[key_id] = fact.org_id
