"""Wallets of everybody who calls here: holds without asking where a lease covers them, and one question at a time where none does."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Final
from uuid import UUID

from opentelemetry.metrics import Meter

from edge.domain.errors import DependencyError, EdgeError, InvalidKeyError
from edge.domain.exhaustion import Refusal
from edge.domain.principal import Org
from edge.domain.wallet import Ask, Lease, Ticket, Wallet, WalletScope, statement_of
from edge.lease_ports import Grant, LeaseLender
from servicekit.clock import Clock
from servicekit.lifecycle import Component
from servicekit.logs import get_logger
from servicekit.metrics import CounterSpec

_log = get_logger(__name__)
_CALLS: Final = CounterSpec(
    "edge.leases.calls", "{call}", "Questions to accounts about leases, by what became of them."
)
_DEPENDENCY: Final = "accounts"
# More than there can be requests in hand, so that one without holds is always among them.
_MAX_WALLETS: Final = 10_000
_LOOK_S: Final = 0.5
# Between two questions of one wallet after a refusal, so that an organisation without credit costs little. Credit that other edges
# give back meanwhile is seen by the second one.
_REFUSED_PAUSE_S: Final = 0.1
_REFUSALS: Final = 2
# Between two questions of one wallet after one without an answer. Who needs an answer meanwhile hears that there is none.
_DOWN_PAUSE_S: Final = 1.0
_BACKGROUND: Final = 32
_RELEASES: Final = 16


class ExhaustedError(Exception):
    """There is not enough to lend. Whoever asked says so to the caller, in the words that fit what refused.

    Attributes:
        refusal: of accounts.
        available: what a hold could be at most.
    """

    def __init__(self, refusal: Refusal, available: int) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal
        self.available = available


@dataclass(frozen=True, slots=True)
class _Answer:
    """Of one question: its number within the wallet, and what came of it."""

    number: int
    refusal: Refusal | None = None
    error: EdgeError | None = None


class _Entry:
    """A wallet and its question under way."""

    __slots__ = ("asked", "down_until", "flight", "paced_until", "wallet")

    def __init__(self, wallet: Wallet) -> None:
        self.wallet = wallet
        self.flight: asyncio.Future[_Answer] | None = None
        self.asked = 0
        self.paced_until = 0.0
        self.down_until = 0.0


class Wallets(Component):
    """Takes holds, and borrows what they need."""

    name = "wallets"

    def __init__(
        self,
        lender: LeaseLender,
        clock: Clock,
        meter: Meter,
        random: Random,
        *,
        cover: timedelta,
        patience: timedelta,
        least: int = 0,
    ) -> None:
        """Make it without any wallet.

        Args:
            lender: lends.
            clock: measures leases.
            meter: of the service.
            random: names leases; need not be secret.
            cover: how long a lease should last at the rate at which its wallet spends.
            patience: of a request that has to wait for a lease.
            least: what a wallet borrows at least, in nano-dollars, where there is plenty.
        """
        self._lender = lender
        self._clock = clock
        self._calls = _CALLS.create(meter)
        self._random = random
        self._cover_s = cover.total_seconds()
        self._least = least
        self._patience_s = patience.total_seconds()
        self._entries: OrderedDict[WalletScope, _Entry] = OrderedDict()
        # One at most for each wallet, and leases of wallets that made room for others.
        self._due: deque[_Entry] = deque()
        self._leaving: deque[tuple[WalletScope, Lease]] = deque()
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._background = asyncio.Semaphore(_BACKGROUND)
        self._pausing: set[asyncio.Task[None] | None] = set()

    async def take(self, scope: WalletScope, amount: int) -> Ticket:
        """Set credit aside. Waits for nothing when a lease covers it.

        Args:
            scope: whose credit.
            amount: nano-dollars, more than 0.

        Raises:
            ExhaustedError: there is not so much.
            DependencyError: accounts does not answer, and nothing that is lent covers it.
        """
        now = self._clock.monotonic()
        entry = self._entry(scope, now)
        ticket = entry.wallet.hold(amount, now)
        if ticket is None:
            return await self._wait(entry, amount, now)
        if entry.wallet.is_low and entry.flight is None and now >= entry.paced_until:
            self._ask_soon(entry)
        return ticket

    def heard(self, org: Org) -> None:
        """Give back what is lent to an organisation that may not spend any more."""
        if org.active:
            return
        for scope in [scope for scope in self._entries if scope.org_id == org.org_id]:
            self._remove(scope)

    async def run(self) -> None:
        """Ask what is to be asked, until everything is given back."""
        async with asyncio.TaskGroup() as tasks:
            looking = tasks.create_task(self._look())
            while not self._stopping.is_set():
                while self._due:
                    self._start(tasks, self._due.popleft())
                while self._leaving:
                    tasks.create_task(self._leave(*self._leaving.popleft()))
                await self._wake.wait()
                self._wake.clear()
            looking.cancel()

    async def stop(self, grace: timedelta) -> None:
        """Give back everything that is not spent."""
        self._stopping.set()
        self._wake.set()
        for task in self._pausing:
            if task is not None:
                task.cancel()
        for entry in self._due:
            self._end_flight(entry, entry.flight, _unanswered(entry))
        self._due.clear()
        # What was asked for already may still be lent.
        for flight in [entry.flight for entry in self._entries.values() if entry.flight is not None]:
            await asyncio.shield(flight)
        leases = [
            (scope, lease) for scope, entry in self._entries.items() if (lease := entry.wallet.drop()) is not None
        ]
        leases += self._leaving
        self._leaving.clear()
        places = asyncio.Semaphore(_RELEASES)

        async def give_back(scope: WalletScope, lease: Lease) -> None:
            async with places:
                await self._release(scope, lease)

        async with asyncio.TaskGroup() as tasks:
            for scope, lease in leases:
                tasks.create_task(give_back(scope, lease))

    def in_flight(self) -> int:
        """How many holds are not over."""
        return sum(lease.holds for entry in self._entries.values() if (lease := entry.wallet.lease) is not None)

    def _entry(self, scope: WalletScope, now: float) -> _Entry:
        entry = self._entries.get(scope)
        if entry is not None:
            self._entries.move_to_end(scope)
            return entry
        entry = _Entry(Wallet(scope, now, cover_s=self._cover_s, least=self._least, on_close=self._closed))
        self._entries[scope] = entry
        if len(self._entries) > _MAX_WALLETS:
            self._make_room()
        return entry

    def _make_room(self) -> None:
        """Remove the wallet that was not used for the longest time, of those that nobody uses now."""
        for scope in self._entries:
            if self._remove(scope):
                return

    def _remove(self, scope: WalletScope) -> bool:
        """Remove a wallet that nobody uses now; says whether it did."""
        entry = self._entries[scope]
        lease = entry.wallet.lease
        if entry.flight is not None or entry.wallet.waiting or (lease is not None and lease.holds):
            return False
        del self._entries[scope]
        if lease is not None:
            self._leaving.append((scope, lease))
            self._wake.set()
        return True

    async def _wait(self, entry: _Entry, amount: int, arrived_at: float) -> Ticket:
        wallet, name, refusals = entry.wallet, object(), 0
        # Questions up to this number were put before the request came, so that what they say is not about it.
        before = entry.asked
        if arrived_at < entry.down_until or self._stopping.is_set():
            raise DependencyError(_DEPENDENCY)
        wallet.waiting[name] = amount
        try:
            while True:
                answer = await asyncio.shield(self._ask_soon(entry))
                now = self._clock.monotonic()
                ticket = wallet.hold(amount, now)
                if ticket is not None:
                    return ticket
                if answer.error is not None:
                    raise answer.error
                if answer.refusal is not None and answer.number > before:
                    refusals += 1
                    if refusals >= _REFUSALS:
                        raise ExhaustedError(answer.refusal, wallet.remaining + max(answer.refusal.available, 0))
                if now - arrived_at > self._patience_s or self._stopping.is_set():
                    raise DependencyError(_DEPENDENCY)
        finally:
            del wallet.waiting[name]
            self._closed(wallet)

    def _closed(self, wallet: Wallet) -> None:
        entry = self._entries.get(wallet.scope)
        if entry is None or entry.flight is not None or self._stopping.is_set():
            return
        if wallet.is_leftover or wallet.has_leftover:
            self._ask_soon(entry)

    def _ask_soon(self, entry: _Entry) -> asyncio.Future[_Answer]:
        if entry.flight is None:
            entry.flight = asyncio.get_running_loop().create_future()
            self._due.append(entry)
            self._wake.set()
        return entry.flight

    def _start(self, tasks: asyncio.TaskGroup, entry: _Entry) -> None:
        # Giving back does not wait.
        pause = entry.paced_until - self._clock.monotonic() if entry.wallet.waiting else 0.0
        task = tasks.create_task(self._fly(entry, pause))
        flight = entry.flight
        # Also of one that was cancelled before it began.
        task.add_done_callback(lambda _: self._end_flight(entry, flight, _unanswered(entry)))
        if pause > 0:
            # A stop need not wait for these.
            self._pausing.add(task)

    async def _fly(self, entry: _Entry, pause: float) -> None:
        flight, answer = entry.flight, _unanswered(entry)
        try:
            if pause > 0:
                await self._clock.sleep(pause)
                self._pausing.discard(asyncio.current_task())
            answer = await self._ask(entry)
        finally:
            self._end_flight(entry, flight, answer)
        self._closed(entry.wallet)

    @staticmethod
    def _end_flight(entry: _Entry, flight: asyncio.Future[_Answer] | None, answer: _Answer) -> None:
        if flight is None or flight.done():
            return
        entry.flight = None
        flight.set_result(answer)

    async def _ask(self, entry: _Entry) -> _Answer:
        wallet = entry.wallet
        if wallet.is_leftover or wallet.is_over(self._clock.monotonic()):
            lease = wallet.drop()
            if lease is not None:
                await self._release(wallet.scope, lease)
            return _Answer(entry.asked)
        entry.asked += 1
        number, sent_at = entry.asked, self._clock.monotonic()
        ask = wallet.ask(sent_at, self._lease_id)
        if ask.is_new and not ask.needed:
            # Nobody waits any more.
            return _Answer(number)
        try:
            grant = await self._call(wallet.scope, ask)
        except EdgeError as error:
            self._count("unavailable")
            entry.down_until = entry.paced_until = self._clock.monotonic() + _DOWN_PAUSE_S
            return _Answer(number, error=error)
        if grant is None:
            return self._lost(entry, ask, number)
        refusal = grant.refusal
        self._count("granted" if refusal is None else "refused")
        if not ask.is_new or refusal is None:
            wallet.take(ask, grant.granted, sent_at, grant.time_to_live, is_scarce=grant.is_scarce)
        if refusal is None:
            return _Answer(number)
        wallet.forget()
        entry.paced_until = self._clock.monotonic() + _REFUSED_PAUSE_S
        return _Answer(number, refusal)

    async def _call(self, scope: WalletScope, ask: Ask) -> Grant | None:
        if ask.is_new:
            return await self._lender.acquire(scope, ask.lease.lease_id, ask.needed, ask.wanted)
        return await self._lender.renew(scope, ask.statement, ask.needed, ask.wanted)

    def _lost(self, entry: _Entry, ask: Ask, number: int) -> _Answer:
        """Accounts knows no such lease any more, or no such organisation or key."""
        self._count("lost")
        entry.wallet.forget()
        if ask.is_new:
            return _Answer(number, error=InvalidKeyError())
        if entry.wallet.lease is ask.lease:
            entry.wallet.drop()
        return _Answer(number)

    async def _look(self) -> None:
        """Extend what is in use, give back what is not."""
        while True:
            await self._clock.sleep(_LOOK_S)
            now = self._clock.monotonic()
            for scope, entry in list(self._entries.items()):
                wallet = entry.wallet
                if entry.flight is not None or now < entry.paced_until:
                    continue
                if wallet.is_over(now) or wallet.is_renewable(now):
                    self._ask_soon(entry)
                elif wallet.is_forgotten(now):
                    del self._entries[scope]

    async def _leave(self, scope: WalletScope, lease: Lease) -> None:
        async with self._background:
            await self._release(scope, lease)

    async def _release(self, scope: WalletScope, lease: Lease) -> None:
        try:
            await self._lender.release(scope, statement_of(lease))
        except EdgeError as error:
            # It ends by itself; until then what is left of it is nobody's.
            self._count("unreleased")
            _log.warning("lease.release_failed", lease_id=lease.lease_id, left=lease.remaining, error=str(error))
        else:
            self._count("released")

    def _lease_id(self) -> str:
        return str(UUID(int=self._random.getrandbits(128), version=4))

    def _count(self, result: str) -> None:
        self._calls.add(1, {"edge.lease.result": result})


def _unanswered(entry: _Entry) -> _Answer:
    return _Answer(entry.asked, error=DependencyError(_DEPENDENCY))
