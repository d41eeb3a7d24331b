"""The arithmetic of purchases: nothing is created or lost, whatever is returned in whichever steps."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.domain.errors import InvalidFieldError
from accounts.domain.payments import (
    NANO_PER_CENT,
    Purchase,
    PurchaseStatus,
    checked_purchase,
    checked_refund,
    credit_part,
    customer_change,
    fee_on,
    paid,
    returned,
)
from accounts.domain.statements import checked_month
from accounts.domain.top_ups import Due, TopUp, checked_rules, is_low, may_buy

ORG = UUID(int=1)
USD = 10**9
CENTS = st.integers(500, 2_500_000)


def purchase(cents: int, basis_points: int = 500) -> Purchase:
    credit = cents * NANO_PER_CENT
    return Purchase(
        purchase_id=UUID(int=2),
        org_id=ORG,
        status=PurchaseStatus.PAID,
        credit=credit,
        fee=fee_on(credit, basis_points),
        refunded=0,
        disputed=0,
        checkout_ref="",
        payment_ref="",
        invoice_number=1,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        paid_at=None,
        automatic=False,
    )


def test_the_fee_is_a_number_of_cents_half_to_even() -> None:
    assert fee_on(10 * USD, 500) == 500_000_000
    assert fee_on(5_100_000_000, 500) == 260_000_000, "25.5 cents"
    assert fee_on(5_300_000_000, 500) == 260_000_000, "26.5 cents"
    assert fee_on(10 * USD, 0) == 0


@given(CENTS, st.integers(0, 10_000))
def test_b01_what_is_paid_is_credit_and_fee(cents: int, basis_points: int) -> None:
    bought = purchase(cents, basis_points)
    moves = tuple(paid(bought))
    assert sum(move.nano for move in moves if move.debit == "cash") == bought.gross
    assert customer_change(ORG, moves) == bought.credit
    assert all(move.nano > 0 for move in moves)
    assert bought.gross % NANO_PER_CENT == 0


@given(CENTS, st.integers(0, 10_000), st.lists(st.floats(0, 1), max_size=6))
def test_b13_returned_in_any_steps_comes_to_the_same(cents: int, basis_points: int, shares: list[float]) -> None:
    bought = purchase(cents, basis_points)
    steps = [0, *(int(share * bought.gross) for share in shares), bought.gross]
    moves = [move for before, after in itertools.pairwise(steps) for move in returned(bought, before, after, "r")]
    assert all(move.nano > 0 for move in moves)
    assert customer_change(ORG, tuple(moves)) == -bought.credit
    cash = sum(move.nano * ((move.credit == "cash") - (move.debit == "cash")) for move in moves)
    assert cash == bought.gross
    assert 0 <= credit_part(bought, steps[1]) <= bought.credit


@pytest.mark.parametrize("credit", [0, -USD, 4_990_000_000, 25_000_010_000_000, 10 * USD + 1])
def test_amounts_that_cannot_be_bought(credit: int) -> None:
    with pytest.raises(InvalidFieldError):
        checked_purchase(credit)


@pytest.mark.parametrize("amount", [0, -1, 11])
def test_b13_amounts_that_cannot_be_given_back(amount: int) -> None:
    with pytest.raises(InvalidFieldError):
        checked_refund(amount, 10)


def test_months() -> None:
    month = checked_month("2026-12")
    assert (month.start, month.end) == (datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    for text in ("2026-13", "2026-1", "1999-01", "2026-01-01", ""):
        with pytest.raises(InvalidFieldError):
            checked_month(text)


def due(rules: TopUp, balance: int = 0, bought: int = 0) -> Due:
    return Due(ORG, balance, rules, bought, 0)


def test_when_credit_is_bought_without_asking() -> None:
    rules = TopUp(True, threshold=10, amount=20, monthly_limit=50, payer_ref="cus", method_ref="pm")
    assert may_buy(due(rules, balance=9))
    assert not may_buy(due(rules, balance=10))
    assert may_buy(due(rules, bought=30))
    assert not may_buy(due(rules, bought=31))
    assert not may_buy(due(TopUp(True, threshold=10, amount=20)))
    assert not may_buy(due(TopUp(False, threshold=10, amount=20, payer_ref="cus", method_ref="pm")))


def test_when_its_owner_is_told() -> None:
    assert is_low(due(TopUp(notice=5), balance=4))
    assert not is_low(due(TopUp(notice=5), balance=5))
    assert not is_low(due(TopUp(), balance=-1)), "nobody asked to be told"


@pytest.mark.parametrize(
    "rules",
    [
        TopUp(True, amount=20 * USD),
        TopUp(True, amount=1, payer_ref="cus", method_ref="pm"),
        TopUp(threshold=-1),
        TopUp(notice=10**15 + 1),
        TopUp(amount=-1),
    ],
)
def test_rules_that_make_no_sense(rules: TopUp) -> None:
    with pytest.raises(InvalidFieldError):
        checked_rules(rules)
