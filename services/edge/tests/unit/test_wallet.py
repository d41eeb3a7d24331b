"""Leases at one edge, as values: what is held, what is asked for, what goes back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.domain.wallet import MARGIN_S, Ask, Ticket, Wallet, WalletScope, statement_of

SCOPE = WalletScope("org")
TTL = 960.0


def wallet_of(granted: int, *, now: float = 0.0, ttl: float = TTL, is_scarce: bool = False) -> Wallet:
    """A wallet with a lease."""
    wallet = Wallet(SCOPE, now, cover_s=900)
    wallet.waiting["first"] = 1
    wallet.take(asked(wallet, now), granted, now, ttl, is_scarce=is_scarce)
    wallet.waiting.clear()
    return wallet


def asked(wallet: Wallet, now: float = 0.0) -> Ask:
    return wallet.ask(now, lambda: "lease")


def held(wallet: Wallet, amount: int, now: float = 0.0) -> Ticket:
    ticket = wallet.hold(amount, now)
    assert ticket is not None
    return ticket


class TestHolds:
    """What a lease covers."""

    def test_a_hold_that_fits_is_taken_and_names_its_lease(self) -> None:
        wallet = wallet_of(100)
        ticket = held(wallet, 60)
        assert (ticket.amount, ticket.lease_id, wallet.remaining) == (60, "lease", 40)
        assert wallet.hold(41, 0) is None
        held(wallet, 40)

    def test_without_a_lease_nothing_fits(self) -> None:
        assert Wallet(SCOPE, 0, cover_s=900).hold(1, 0) is None

    def test_what_costs_nothing_is_on_no_lease(self) -> None:
        ticket = Ticket(0)
        assert ticket.lease_id == ""
        ticket.charge(3)

    @pytest.mark.parametrize(("end", "left"), [("charge", 70), ("charge_estimate", 40), ("release", 100)])
    def test_what_is_left_depends_on_how_it_ends(self, end: str, left: int) -> None:
        wallet = wallet_of(100)
        ticket = held(wallet, 60)
        if end == "charge":
            ticket.charge(30)
        else:
            getattr(ticket, end)()
        assert wallet.remaining == left
        # Every later end changes nothing.
        ticket.charge(1)
        ticket.charge_estimate()
        ticket.release()
        assert wallet.remaining == left

    def test_b11_time_counts_from_before_the_call_and_ends_before_the_end(self) -> None:
        wallet = Wallet(SCOPE, 0, cover_s=900)
        # The answer came ten seconds later; the time is what is left since the call was sent.
        wallet.take(asked(wallet, 5.0), 100, 5.0, 60.0, is_scarce=False)
        held(wallet, 1, 5.0 + 60.0 - MARGIN_S - 0.01)
        assert wallet.hold(1, 5.0 + 60.0 - MARGIN_S) is None

    def test_a_generation_that_cost_more_than_its_hold_leaves_nothing_to_others(self) -> None:
        wallet = wallet_of(100)
        other = held(wallet, 40)
        held(wallet, 60).charge(90)
        assert wallet.hold(1, 0) is None
        assert wallet.remaining == 0
        assert wallet.lease is not None
        # To accounts no more is stated than was lent; the usage event tells the rest.
        statement = statement_of(wallet.lease)
        assert (statement.spent, statement.in_flight) == (60, 40)
        other.release()
        assert statement_of(wallet.lease).spent == 90

    @given(
        st.lists(st.tuples(st.integers(1, 50), st.sampled_from(["charge", "release", "estimate", "open"])), max_size=40)
    )
    def test_no_sequence_promises_more_than_was_lent(self, steps: list[tuple[int, str]]) -> None:
        wallet = wallet_of(100)
        lease = wallet.lease
        assert lease is not None
        for amount, end in steps:
            before = wallet.remaining
            ticket = wallet.hold(amount, 0)
            assert (ticket is not None) == (amount <= before)
            if ticket is not None and end == "charge":
                ticket.charge(amount // 2)
            elif ticket is not None and end == "release":
                ticket.release()
            elif ticket is not None and end == "estimate":
                ticket.charge_estimate()
            assert 0 <= lease.spent + lease.held <= 100
            assert statement_of(lease).spent == lease.spent


class TestAsks:
    """What is asked of accounts."""

    def test_the_first_time_a_lease_of_several_holds_is_wanted(self) -> None:
        wallet = Wallet(SCOPE, 0, cover_s=900)
        wallet.waiting["one"] = 10
        ask = asked(wallet)
        assert (ask.is_new, ask.needed, ask.wanted) == (True, 10, 40)
        wallet.waiting["other"] = 100
        assert asked(wallet).wanted == 110

    def test_a_lease_of_which_nothing_was_heard_is_asked_for_by_the_same_name(self) -> None:
        wallet, names = Wallet(SCOPE, 0, cover_s=900), iter("abc")
        first = wallet.ask(0, lambda: next(names))
        assert wallet.ask(1, lambda: next(names)).lease is first.lease
        wallet.forget()
        assert wallet.ask(1, lambda: next(names)).lease.lease_id == "b"

    def test_spending_sets_how_much_is_wanted(self) -> None:
        wallet = wallet_of(10_000)
        for second in range(10):
            held(wallet, 10, second).charge(10)
        ask = asked(wallet, 10.0)
        # Ten nano-dollars a second for a quarter of an hour, and four holds.
        assert (ask.is_new, ask.needed, ask.wanted) == (False, 0, 0)
        assert ask.statement.spent == 100
        assert ask.statement.returned == 0
        few = wallet_of(1_000)
        for second in range(10):
            held(few, 10, second).charge(10)
        ask = asked(few, 10.0)
        assert (ask.needed, ask.wanted) == (10, 900 * 10 + 4 * 10 - 900)

    def test_accounts_says_nothing_of_scarcity_where_nothing_is_needed(self) -> None:
        wallet = wallet_of(10, is_scarce=True)
        held(wallet, 5).charge(5)
        ask = asked(wallet)
        assert (ask.needed, ask.wanted, ask.statement.returned) == (0, 0, 5)
        wallet.take(ask, 10, 0, TTL, is_scarce=False)
        assert wallet.lease is not None
        assert wallet.lease.is_scarce

    def test_what_waits_needs_what_is_not_there_yet(self) -> None:
        wallet = wallet_of(100)
        held(wallet, 70)
        wallet.waiting["one"] = 50
        assert asked(wallet).needed == 20

    def test_when_half_is_gone_more_is_wanted_before_anybody_waits(self) -> None:
        wallet = wallet_of(100)
        held(wallet, 50)
        assert not wallet.is_low
        held(wallet, 1)
        assert wallet.is_low

    def test_much_that_is_not_used_any_more_goes_back(self) -> None:
        wallet = wallet_of(1_000_000)
        held(wallet, 10).charge(10)
        ask = asked(wallet, 100.0)
        assert ask.statement.returned > 900_000
        assert wallet.remaining == 1_000_000 - 10 - ask.statement.returned
        # The same is said again, whether or not the call arrived.
        assert asked(wallet, 101.0).statement.returned == ask.statement.returned


class TestScarceCredit:
    """Each request is lent for by itself, and what it leaves over goes back."""

    def test_nothing_is_borrowed_ahead(self) -> None:
        wallet = wallet_of(10, is_scarce=True)
        held(wallet, 10)
        assert not wallet.is_low
        wallet.waiting["one"] = 10
        ask = asked(wallet)
        assert (ask.needed, ask.wanted) == (10, 10)

    def test_what_is_left_over_goes_back_unless_somebody_waits_here(self) -> None:
        told: list[Wallet] = []
        wallet = Wallet(SCOPE, 0, cover_s=900, on_close=told.append)
        wallet.waiting["first"] = 10
        wallet.take(asked(wallet), 20, 0, TTL, is_scarce=True)
        wallet.waiting.clear()
        first, second = held(wallet, 10), held(wallet, 10)
        first.charge(4)
        assert told == [wallet]
        assert (wallet.has_leftover, wallet.is_leftover) == (True, False)
        wallet.waiting["one"] = 6
        assert not wallet.has_leftover
        # Whoever waits asks for the whole, so that nobody keeps a part while others need it.
        wallet.waiting["one"] = 10
        ask = asked(wallet)
        assert (ask.statement.returned, ask.needed, ask.wanted) == (6, 10, 10)
        wallet.waiting.clear()
        assert asked(wallet).statement.returned == 6
        second.charge(10)
        assert wallet.is_leftover


class TestTime:
    """When a lease is extended, and when it is given back."""

    def test_a_lease_in_use_is_extended_long_before_its_end(self) -> None:
        wallet = wallet_of(100)
        held(wallet, 1, 30.0).release()
        assert not wallet.is_renewable(59.0)
        assert wallet.is_renewable(60.0)
        wallet.take(asked(wallet, 60.0), 100, 60.0, TTL, is_scarce=False)
        # Nobody used it since.
        assert not wallet.is_renewable(200.0)

    def test_a_lease_with_a_generation_under_way_is_in_use(self) -> None:
        wallet = wallet_of(100)
        held(wallet, 1, 0.0)
        wallet.take(asked(wallet, 60.0), 100, 60.0, TTL, is_scarce=False)
        assert wallet.is_renewable(200.0)

    def test_a_lease_that_nobody_uses_is_given_back_at_its_end(self) -> None:
        wallet = wallet_of(100)
        assert not wallet.is_over(TTL - MARGIN_S - 1)
        assert wallet.is_over(TTL - MARGIN_S)
        lease = wallet.drop()
        assert lease is not None
        assert (wallet.lease, lease.remaining) == (None, 100)
        assert wallet.is_forgotten(TTL)

    def test_a_refused_extension_leaves_the_time_as_it_was(self) -> None:
        wallet = wallet_of(100)
        wallet.take(asked(wallet, 900.0), 100, 900.0, 0, is_scarce=False)
        assert wallet.hold(1, TTL) is None
