"""How much is lent, from which accounts, and what settled usage takes from leases."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.domain.lease_bounds import kept_account
from accounts.domain.lease_charges import lease_charges, overshoot
from accounts.domain.leases import SMALL_CREDIT, AccountKind, grant_size, is_scarce
from accounts.domain.postings import Posted, UsageFact

DOLLAR = 10**9
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("needed", "wanted", "available", "edges", "expected"),
    [
        (10, 10, 9, 1, 0),  # less than needed is left
        (10, 10, 10, 1, 10),
        (10, 10**9, SMALL_CREDIT - 1, 1, 10),  # scarce: what one request could cost
        (10, 10**9, SMALL_CREDIT, 1, 10**9),  # what is wanted
        (10, 10, SMALL_CREDIT, 1, 15),  # half as much again at least
        (11, 11, SMALL_CREDIT, 1, 17),  # rounded up
        (10, 10 * DOLLAR, 10 * DOLLAR, 5, DOLLAR),  # a share of the edges at most
        (3 * DOLLAR, 9 * DOLLAR, 10 * DOLLAR, 2, 3 * DOLLAR),  # less than two requests an edge are left
        (2 * DOLLAR, 2 * DOLLAR, 10 * DOLLAR, 2, 10 * DOLLAR // 4),  # the share is less than half as much again
    ],
)
def test_grants(needed: int, wanted: int, available: int, edges: int, expected: int) -> None:
    assert grant_size(needed, wanted, available, edges, SMALL_CREDIT) == expected


@given(
    needed=st.integers(1, 10**12),
    more=st.integers(0, 10**12),
    available=st.integers(-(10**12), 10**13),
    edges=st.integers(1, 200),
    small=st.sampled_from([0, SMALL_CREDIT]),
)
def test_b05_never_more_than_there_is_is_lent_and_what_is_needed_whenever_it_is_there(
    needed: int, more: int, available: int, edges: int, small: int
) -> None:
    size = grant_size(needed, needed + more, available, edges, small)
    assert (size == 0) == (available < needed)
    if size:
        assert needed <= size <= available
        if size > needed:
            assert not is_scarce(needed, available, edges, small)
            assert size * 2 * edges <= available, "every other edge can be lent as much"


def fact(cost: int, lease_id: UUID | None, *, hold: int = 0, event_id: UUID | None = None) -> UsageFact:
    return UsageFact(
        event_id or uuid4(), 3, "gen", UUID(int=1), UUID(int=2), "a/m", "p", "e", "pv", 0, 0, cost, cost, {}, NOW,
        lease_id=lease_id, hold=hold,
    )  # fmt: skip


def posted(cost: int) -> Posted:
    return Posted(2, UUID(int=1), UUID(int=2), "p", NOW.date(), cost, cost, {})


def test_each_lease_is_charged_what_is_new_of_its_events() -> None:
    one, two, known = uuid4(), uuid4(), uuid4()
    facts = [fact(5, one), fact(7, one), fact(3, two), fact(9, None), fact(40, two, event_id=known), fact(0, uuid4())]
    assert lease_charges(facts, {known: posted(50)}) == {(UUID(int=1), one): 12, (UUID(int=1), two): -7}


def test_b05_an_overshoot_is_what_an_event_costs_beyond_its_hold_counted_once() -> None:
    lease_id, known = uuid4(), uuid4()
    facts = [fact(10, lease_id, hold=8), fact(8, lease_id, hold=8), fact(10, lease_id), fact(10, lease_id, hold=-1)]
    assert overshoot(facts, {}) == 2
    assert overshoot([fact(15, lease_id, hold=8, event_id=known)], {known: posted(10)}) == 5
    assert overshoot([fact(9, lease_id, hold=8, event_id=known)], {known: posted(10)}) == 0


def test_a_window_is_known_by_its_name() -> None:
    account = kept_account("rate/member/ada%2F1/g1/requests/minute/a%2Fm/77", 9, NOW)
    assert (account.kind, account.subject, account.guardrail_id) == (AccountKind.GUARDRAIL_MEMBER, "ada/1", "g1")
    assert (account.limit, account.ends_at) == (9, NOW)
    assert kept_account("key/1", None, None).available is None
