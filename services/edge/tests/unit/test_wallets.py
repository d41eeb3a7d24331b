"""Borrowing: when accounts is asked, how often, and what callers get meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta
from random import Random

import pytest
from opentelemetry.metrics import NoOpMeter

from edge.domain.errors import DependencyError, InvalidKeyError
from edge.domain.exhaustion import RefusalReason, SpendingAccount
from edge.domain.wallet import MARGIN_S, Ticket, WalletScope
from edge.testing.accounts import USD, MemoryAccounts, known_org
from edge.testing.leases import MemoryLeases
from edge.wallets import ExhaustedError, Wallets
from servicekit.testing import ManualClock, running
from turnpike.accounts.v1 import records_pb2


class Purse:
    """Wallets over a lender in memory."""

    def __init__(self, balance: int = 100 * USD) -> None:
        self.accounts = MemoryAccounts()
        self.org = self.accounts.add_org(balance)
        self.leases = MemoryLeases(self.accounts)
        self.clock = ManualClock()
        self.wallets = Wallets(
            self.leases,
            self.clock,
            NoOpMeter("test"),
            Random(1),
            cover=timedelta(minutes=15),
            patience=timedelta(seconds=3),
        )

    @property
    def scope(self) -> WalletScope:
        return WalletScope(self.org.org_id)

    async def take(self, amount: int = USD) -> Ticket:
        return await self.wallets.take(self.scope, amount)

    async def asked(self, times: int) -> None:
        """Let others run until accounts was asked so often."""
        for _ in range(100):
            if len(self.leases.calls) >= times:
                return
            await asyncio.sleep(0)
        raise AssertionError("accounts was not asked")

    async def outcome(self, work: Awaitable[Ticket]) -> Ticket | Exception:
        """Let time pass until it is known how a request is answered."""

        async def settled() -> Ticket | Exception:
            try:
                return await work
            except Exception as error:
                return error

        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(settled())
            for _ in range(200):
                if task.done():
                    break
                await self.clock.advance(0.05)
            assert task.done()
        return task.result()


@pytest.fixture
async def purse() -> AsyncIterator[Purse]:
    made = Purse()
    async with running(made.wallets):
        yield made


@pytest.fixture
async def small_purse() -> AsyncIterator[Purse]:
    made = Purse(USD)
    async with running(made.wallets):
        yield made


async def test_a_lease_serves_many_requests_without_asking(purse: Purse) -> None:
    for _ in range(200):
        (await purse.take(1_000)).charge(1)
    assert purse.leases.calls == ["acquire"]


async def test_those_who_wait_at_the_same_time_wait_for_one_answer(purse: Purse) -> None:
    gate = asyncio.Event()
    purse.leases.gate = gate.wait
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(purse.take(1_000)) for _ in range(50)]
        await purse.asked(1)
        gate.set()
    assert {task.result().amount for task in waiting} == {1_000}
    # The first one asked for those who were there by then.
    assert len(purse.leases.calls) <= 3


async def test_more_is_borrowed_before_anybody_waits(purse: Purse) -> None:
    first = await purse.take(1_000)
    tickets = [await purse.take(1_000) for _ in range(2)]
    await purse.clock.advance(0.1)
    assert purse.leases.calls == ["acquire", "renew"]
    assert {ticket.lease_id for ticket in tickets} == {first.lease_id}


async def test_one_who_goes_away_while_waiting_takes_nothing_along(small_purse: Purse) -> None:
    gate = asyncio.Event()
    small_purse.leases.gate = gate.wait
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(small_purse.take(1_000))
        await small_purse.asked(1)
        waiting.cancel()
    small_purse.leases.gate = None
    gate.set()
    await small_purse.clock.advance(1)
    assert small_purse.leases.held(small_purse.org.org_id) == 0


async def test_scarce_credit_is_lent_for_each_request_and_goes_back_after_it(small_purse: Purse) -> None:
    first = await small_purse.take(USD // 2)
    assert small_purse.leases.held(small_purse.org.org_id) == USD // 2
    first.charge(USD // 10)
    await small_purse.clock.advance(0.1)
    assert small_purse.leases.held(small_purse.org.org_id) == 0
    assert small_purse.org.balance_nano_usd == USD - USD // 10
    assert (await small_purse.take(USD - USD // 10)).lease_id != first.lease_id


async def test_what_other_edges_give_back_meanwhile_is_not_refused(small_purse: Purse) -> None:
    other = await small_purse.leases.acquire(small_purse.scope, "other", USD, USD)
    assert other is not None
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(small_purse.take(1_000))
        await small_purse.asked(2)
        small_purse.leases.leases.clear()
        await small_purse.clock.advance(1)
    assert waiting.result().amount == 1_000


async def test_without_any_credit_one_answer_is_enough_until_somebody_pays(small_purse: Purse) -> None:
    small_purse.org.balance_nano_usd = 5
    first = await small_purse.outcome(small_purse.take())
    assert isinstance(first, ExhaustedError)
    assert (first.available, first.refusal.is_final, len(small_purse.leases.calls)) == (5, True, 1)
    assert isinstance(await small_purse.outcome(small_purse.take()), ExhaustedError)
    assert len(small_purse.leases.calls) == 1
    # What is there is lent all the same.
    ticket = await small_purse.outcome(small_purse.take(4))
    assert isinstance(ticket, Ticket)
    ticket.release()
    small_purse.org.balance_nano_usd = 0
    assert isinstance(await small_purse.outcome(small_purse.take()), ExhaustedError)
    small_purse.org.balance_nano_usd = 10 * USD
    small_purse.wallets.heard(known_org(small_purse.org))
    assert isinstance(await small_purse.outcome(small_purse.take()), Ticket)


async def test_a_limit_that_is_raised_is_seen_when_the_last_answer_is_a_second_old(small_purse: Purse) -> None:
    small_purse.org.balance_nano_usd = 0
    assert isinstance(await small_purse.outcome(small_purse.take()), ExhaustedError)
    small_purse.org.balance_nano_usd = 10 * USD
    assert isinstance(await small_purse.outcome(small_purse.take()), ExhaustedError)
    await small_purse.clock.advance(1)
    assert isinstance(await small_purse.outcome(small_purse.take()), Ticket)


async def test_a_refusal_says_what_refused_and_what_is_left(small_purse: Purse) -> None:
    outcome = await small_purse.outcome(small_purse.take(USD + 1))
    assert isinstance(outcome, ExhaustedError)
    assert (outcome.refusal.reason, outcome.refusal.account) == (RefusalReason.EXHAUSTED, SpendingAccount.CREDIT)
    assert outcome.available == USD


async def test_an_organisation_without_credit_costs_ten_questions_a_second_at_most(small_purse: Purse) -> None:
    for _ in range(5):
        async with asyncio.TaskGroup() as tasks:
            waiting = [tasks.create_task(small_purse.outcome(small_purse.take(2 * USD))) for _ in range(20)]
        assert all(isinstance(task.result(), ExhaustedError) for task in waiting)
    assert len(small_purse.leases.calls) <= small_purse.clock.monotonic() / 0.1 + 1


async def test_a_key_with_a_limit_has_a_wallet_of_its_own(purse: Purse) -> None:
    _, key = purse.accounts.add_key(purse.org.org_id, limit=USD)
    scope = WalletScope(purse.org.org_id, key.key_id)
    await purse.take(USD)
    outcome = await purse.outcome(purse.wallets.take(scope, USD + 1))
    assert isinstance(outcome, ExhaustedError)
    assert (outcome.refusal.account, outcome.refusal.limit) == (SpendingAccount.KEY, USD)
    assert isinstance(await purse.outcome(purse.wallets.take(scope, USD)), Ticket)


async def test_a_key_that_accounts_does_not_know_is_worthless(purse: Purse) -> None:
    outcome = await purse.outcome(purse.wallets.take(WalletScope(purse.org.org_id, "none"), 1))
    assert isinstance(outcome, InvalidKeyError)


async def test_b12_edge_partitioned_from_control_plane_stops_within_ttl(purse: Purse) -> None:
    purse.leases.time_to_live = 60.0
    await purse.take(1_000)
    granted = purse.leases.held(purse.org.org_id)
    purse.leases.down = True
    started = 0
    for _ in range(70):
        outcome = await purse.outcome(purse.take(1))
        if isinstance(outcome, Ticket):
            assert purse.clock.monotonic() < 60.0 - MARGIN_S
            outcome.charge(1)
            started += 1
        else:
            # Never a word about credit.
            assert isinstance(outcome, DependencyError)
        await purse.clock.advance(1.0)
    assert 50 <= started <= 58
    # What it had is what is stranded.
    assert purse.leases.held(purse.org.org_id) == granted


async def test_what_is_lent_is_spent_while_accounts_is_away_and_more_is_503(purse: Purse) -> None:
    await purse.take(1_000)
    purse.leases.down = True
    assert isinstance(await purse.outcome(purse.take(1_000)), Ticket)
    assert isinstance(await purse.outcome(purse.take(1_000_000)), DependencyError)
    asked = len(purse.leases.calls)
    # Who comes right after that is not kept waiting, and accounts is not asked again at once.
    with pytest.raises(DependencyError):
        await purse.take(1_000_000)
    assert len(purse.leases.calls) == asked
    purse.leases.down = False
    await purse.clock.advance(2)
    assert isinstance(await purse.outcome(purse.take(1_000_000)), Ticket)


async def test_a_lease_in_use_is_extended_for_as_long_as_it_is_used(purse: Purse) -> None:
    for _ in range(3_600):
        (await purse.take(1_000)).charge(0)
        await purse.clock.advance(1.0)
    assert set(purse.leases.calls[1:]) == {"renew"}
    assert 55 <= len(purse.leases.calls) <= 65


async def test_a_lease_that_accounts_ended_is_replaced(purse: Purse) -> None:
    first = await purse.take(1_000)
    purse.leases.leases.clear()
    outcome = await purse.outcome(purse.take(1_000_000))
    assert isinstance(outcome, Ticket)
    assert outcome.lease_id != first.lease_id
    first.charge(1_000)


async def test_a_wallet_that_nobody_uses_gives_its_lease_back(purse: Purse) -> None:
    (await purse.take(1_000)).release()
    # Extended once, because it was used since it was lent, and then not any more.
    await purse.clock.advance(60 + 960)
    assert purse.leases.held(purse.org.org_id) == 0
    assert purse.leases.calls == ["acquire", "renew", "release"]


async def test_a_suspended_organisation_gives_its_leases_back(purse: Purse) -> None:
    (await purse.take(1_000)).release()
    purse.wallets.heard(known_org(purse.org))
    await purse.clock.advance(0.1)
    assert purse.leases.held(purse.org.org_id) > 0
    purse.org.status = records_pb2.ORG_STATUS_FROZEN
    purse.wallets.heard(known_org(purse.org))
    await purse.clock.advance(0.1)
    assert purse.leases.held(purse.org.org_id) == 0


async def test_an_orderly_end_gives_everything_back() -> None:
    purse = Purse()
    async with running(purse.wallets):
        for number in range(5):
            _, key = purse.accounts.add_key(purse.org.org_id, limit=10 * USD)
            (await purse.wallets.take(WalletScope(purse.org.org_id, key.key_id), 1_000)).charge(number)
    assert purse.leases.held(purse.org.org_id) == 0
    assert purse.org.balance_nano_usd == 100 * USD - 10


async def test_an_end_without_accounts_is_an_end_all_the_same() -> None:
    purse = Purse()
    async with running(purse.wallets):
        await purse.take(1_000)
        purse.leases.down = True


@pytest.mark.parametrize("steps", [0, 3])
async def test_an_end_does_not_wait_for_a_question_that_is_held_back(steps: int) -> None:
    purse = Purse(2 * USD)
    # Another edge could give it back, so that asking again is worth it.
    await purse.leases.acquire(purse.scope, "other", USD, USD)
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        async with running(purse.wallets):
            assert isinstance(await purse.outcome(purse.take(2 * USD)), ExhaustedError)
            waiting = tasks.create_task(settled(purse.take(2 * USD)))
            # Before the next question may be put; with no step not even the task of it has begun.
            for _ in range(1 + steps):
                await asyncio.sleep(0)
        assert isinstance(await waiting, DependencyError)


async def settled(work: Awaitable[Ticket]) -> Ticket | Exception:
    try:
        return await work
    except Exception as error:
        return error


async def test_so_many_wallets_are_kept_and_those_with_holds_are_never_given_up() -> None:
    purse = Purse()
    wallets = Wallets(
        purse.leases,
        purse.clock,
        NoOpMeter("test"),
        Random(1),
        cover=timedelta(minutes=15),
        patience=timedelta(seconds=3),
        most=3,
    )
    orgs = [purse.accounts.add_org().org_id for _ in range(6)]
    async with running(wallets):
        tickets = [await wallets.take(WalletScope(org_id), 1_000) for org_id in orgs[:4]]
        assert "release" not in purse.leases.calls, "each has a hold, so one more is kept"
        tickets[1].charge(10)
        tickets[3].charge(10)
        await wallets.take(WalletScope(orgs[4]), 1_000)
        await purse.clock.advance(0.1)
        assert [purse.leases.held(org_id) > 0 for org_id in orgs] == [True, False, True, False, True, False]
        # Now the one that was used the longest ago.
        tickets[0].charge(10)
        tickets[2].charge(10)
        await wallets.take(WalletScope(orgs[0]), 1_000)
        await wallets.take(WalletScope(orgs[5]), 1_000)
        await purse.clock.advance(0.1)
        assert [purse.leases.held(org_id) > 0 for org_id in orgs] == [True, False, False, False, True, True]
        assert wallets.in_flight() == 3
    assert not purse.leases.leases, "all is given back at the end"
