from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from accounts.domain.postings import Posted, Postings, UsageFact, post

ORGS = [UUID(int=n) for n in (1, 2)]
KEYS = [UUID(int=n) for n in (11, 12)]


def hedges(number: int, rank: int) -> dict[str, int]:
    """None, or copies at one or two providers, which may be the one that answered, and others in another rank."""
    return {f"p{(number + rank + n) % 3}": (number * 17 + rank * 5 + n) % 40 for n in range((number + 2 * rank) % 3)}


@st.composite
def facts(draw: st.DrawFn) -> list[UsageFact]:
    """Events with repeats and corrections: ids come from a small pool, and an id and rank always state the same."""
    chosen = draw(st.lists(st.tuples(st.integers(0, 7), st.integers(1, 3)), max_size=24))
    return [
        UsageFact(
            event_id=UUID(int=100 + number),
            rank=rank,
            generation_id=f"gen-{number}",
            org_id=ORGS[number % 2],
            # Another rank of an event states another key, provider and day: all of it must move.
            key_id=KEYS[(number + rank) % 2],
            model="m",
            provider=f"p{(number + rank) % 3}",
            endpoint_id="m@p",
            price_version="v",
            prompt_tokens=number,
            completion_tokens=rank,
            cost=(number * 37 + rank * 11) % 50,
            provider_cost=(number * 13 + rank * 7) % 50,
            hedges=hedges(number, rank),
            ended_at=datetime(2026, 11, 20 + rank, number, tzinfo=UTC),
        )
        for number, rank in chosen
    ]


class Ledger:
    """Applies postings as the database does."""

    def __init__(self) -> None:
        self.posted: dict[UUID, Posted] = {}
        self.accounts: dict[str, int] = defaultdict(int)
        self.usage: dict[UUID, int] = defaultdict(int)
        self.spend: dict[UUID, int] = defaultdict(int)
        self.day_spend: dict[tuple[UUID, date], int] = defaultdict(int)

    def apply(self, postings: Postings) -> None:
        for fact in postings.facts:
            self.posted[fact.event_id] = Posted(
                rank=fact.rank,
                org_id=fact.org_id,
                key_id=fact.key_id,
                provider=fact.provider,
                day=fact.ended_at.date(),
                cost=fact.cost,
                provider_cost=fact.provider_cost,
                hedges=fact.hedges,
            )
        for entry in postings.entries:
            assert entry.nano > 0
            self.accounts[entry.debit] -= entry.nano
            self.accounts[entry.credit] += entry.nano
        for org_id, nano in postings.org_usage.items():
            self.usage[org_id] += nano
        for key_id, nano in postings.key_spend.items():
            self.spend[key_id] += nano
        for key_day, nano in postings.key_day_spend.items():
            self.day_spend[key_day] += nano

    def state(self) -> tuple[object, ...]:
        parts: tuple[Mapping[Any, int], ...] = (self.accounts, self.usage, self.spend, self.day_spend)
        return tuple({name: nano for name, nano in part.items() if nano} for part in parts)


def settled(batches: list[list[UsageFact]]) -> Ledger:
    ledger = Ledger()
    for batch in batches:
        ledger.apply(post(batch, ledger.posted))
    return ledger


@given(facts(), st.randoms(), st.lists(st.integers(1, 5), max_size=10))
def test_b08_any_order_and_split_of_the_same_events_gives_the_same_books(
    events: list[UsageFact], random: object, sizes: list[int]
) -> None:
    shuffled = list(events)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # Hypothesis' Random has no public type
    batches, start = [], 0
    for size in sizes:
        batches.append(shuffled[start : start + size])
        start += size
    batches.append(shuffled[start:])
    assert settled(batches).state() == settled([events]).state()


@given(facts())
def test_b01_debits_equal_credits_and_b02_usage_is_the_sum_of_latest_costs(events: list[UsageFact]) -> None:
    ledger = settled([events])
    assert sum(ledger.accounts.values()) == 0
    for org_id in ORGS:
        assert -ledger.accounts[f"customer:{org_id}"] == ledger.usage[org_id]
    latest = {fact.event_id: fact for fact in sorted(events, key=lambda fact: fact.rank)}
    for org_id in ORGS:
        assert ledger.usage[org_id] == sum(fact.cost for fact in latest.values() if fact.org_id == org_id)
    for provider in ("p0", "p1", "p2"):
        owed = sum(fact.provider_cost for fact in latest.values() if fact.provider == provider)
        owed += sum(fact.hedges.get(provider, 0) for fact in latest.values())
        assert ledger.accounts[f"provider_payable:{provider}"] == owed
    for key_id in KEYS:
        assert ledger.spend[key_id] == sum(fact.cost for fact in latest.values() if fact.key_id == key_id)


@given(facts())
def test_b07_events_that_are_posted_change_nothing_again(events: list[UsageFact]) -> None:
    ledger = settled([events])
    again = post(events, ledger.posted)
    assert not again.facts
    assert not again.entries
    assert not again.org_usage


def fact_with(rank: int, hedges: Mapping[str, int]) -> UsageFact:
    return UsageFact(
        event_id=UUID(int=1),
        rank=rank,
        generation_id="gen-1",
        org_id=ORGS[0],
        key_id=KEYS[0],
        model="m",
        provider="p0",
        endpoint_id="m@p0",
        price_version="v",
        prompt_tokens=1,
        completion_tokens=1,
        cost=100,
        provider_cost=90,
        hedges=hedges,
        ended_at=datetime(2026, 11, 20, tzinfo=UTC),
    )


def moved(postings: Postings) -> set[tuple[str, str, int, str]]:
    return {(entry.debit, entry.credit, entry.nano, entry.reason) for entry in postings.entries}


def test_copies_are_owed_to_their_providers_and_are_not_charged() -> None:
    ledger = Ledger()
    first = post([fact_with(1, {"p0": 5, "p1": 7})], ledger.posted)
    assert moved(first) == {
        (f"customer:{ORGS[0]}", "revenue:usage", 100, "usage"),
        ("provider_cost", "provider_payable:p0", 95, "usage"),
        ("provider_cost", "provider_payable:p1", 7, "usage"),
    }
    assert {entry.event_id for entry in first.entries} == {UUID(int=1)}
    ledger.apply(first)

    # One copy cost less, one was none, and one was not known of.
    later = post([fact_with(2, {"p1": 6, "p2": 4})], ledger.posted)
    assert moved(later) == {
        ("provider_payable:p0", "provider_cost", 5, "usage_correction"),
        ("provider_payable:p1", "provider_cost", 1, "usage_correction"),
        ("provider_cost", "provider_payable:p2", 4, "usage_correction"),
    }
    assert later.org_usage == {ORGS[0]: 0}
    assert not later.key_spend
