"""Borrowing for wallets: holds without asking where a lease covers them, and one question at a time for each wallet where none does."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import OrderedDict, deque
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Final, Generic, TypeVar
from uuid import UUID

from opentelemetry.metrics import Meter

from edge.domain.errors import DependencyError, EdgeError
from edge.domain.exhaustion import Refusal
from edge.domain.wallet import Ask, Lease, Ticket, Wallet, WalletScope, statement_of
from edge.lease_ports import Grant, LeaseLender
from servicekit.clock import Clock
from servicekit.lifecycle import Component
from servicekit.logs import get_logger
from servicekit.metrics import CounterSpec

W = TypeVar("W", bound=Wallet)

_log = get_logger(__name__)
_CALLS: Final = CounterSpec(
    "edge.leases.calls",
    "{call}",
    "Questions to accounts about leases, by their kind (credit, limit) and what became of them.",
)
DEPENDENCY: Final = "accounts"

MAX_WALLETS: Final = 10_000
"""Of one kind; each is about a kilobyte."""

_LOOK_S: Final = 0.5
# Between two questions of one wallet after a refusal, so that an organisation without credit costs little.
_REFUSED_PAUSE_S: Final = 0.1
_MORE_REFUSALS: Final = 2
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
class Answer:
    """Of one question: its number within the wallet, and what came of it."""

    number: int
    refusal: Refusal | None = None
    error: EdgeError | None = None


class Entry(Generic[W]):
    """A wallet and its question under way.

    Attributes:
        wallet: itself.
        flight: the question.
        asked: how many there were.
        paced_until: no other is put before.
        down_until: until then nobody waits for an answer, because the last one failed to come.
        is_down: whether it did.
        refusal: the last answer, where that was one.
    """

    __slots__ = ("asked", "down_until", "flight", "is_down", "paced_until", "refusal", "wallet")

    def __init__(self, wallet: W) -> None:
        self.wallet = wallet
        self.flight: asyncio.Future[Answer] | None = None
        self.asked = 0
        self.paced_until = 0.0
        self.down_until = 0.0
        self.is_down = False
        self.refusal: Refusal | None = None


class Borrowing(Component, Generic[W]):
    """Takes holds, and borrows what they need. What kind of wallets these are, and when waiting is worth it, others say."""

    # What is borrowed, in metrics.
    _kind = ""
    # How often accounts must refuse before a request hears of it.
    _refusals = 1

    def __init__(
        self,
        lender: LeaseLender,
        clock: Clock,
        meter: Meter,
        random: Random,
        patience: timedelta,
        most: int = MAX_WALLETS,
    ) -> None:
        """Make it without any wallet.

        Args:
            lender: lends.
            clock: measures leases.
            meter: of the service.
            random: names leases; need not be secret.
            patience: of a request that has to wait for a lease.
            most: wallets that are kept; more only while none of them is without a hold.
        """
        self._lender = lender
        self._clock = clock
        self._calls = _CALLS.create(meter)
        self._random = random
        self._patience_s = patience.total_seconds()
        self._most = most
        # Questions without an answer since the last one that had one.
        self._silent = 0
        self._entries: OrderedDict[Hashable, Entry[W]] = OrderedDict()
        # One at most for each wallet, and leases of wallets that made room for others.
        self._due: deque[Entry[W]] = deque()
        self._leaving: deque[tuple[WalletScope, Lease]] = deque()
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._background = asyncio.Semaphore(_BACKGROUND)
        self._pausing: set[asyncio.Task[None] | None] = set()

    @abstractmethod
    def _lost(self, entry: Entry[W], ask: Ask, number: int) -> Answer:
        """Note that accounts knows no such lease any more, or nobody to lend it to."""

    def _is_unreachable(self, entry: Entry[W], now: float) -> bool:
        """Whether a request need not wait for accounts."""
        return now < entry.down_until

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
            self._end_flight(entry, entry.flight, _nothing(entry))
        self._due.clear()
        # What was asked for already may still be lent.
        for flight in [entry.flight for entry in self._entries.values() if entry.flight is not None]:
            await asyncio.shield(flight)
        leases = [
            (entry.wallet.scope, lease)
            for entry in self._entries.values()
            if (lease := entry.wallet.drop()) is not None
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

    def _known(self, name: Hashable) -> Entry[W] | None:
        """The wallet of this name, which is used now."""
        entry = self._entries.get(name)
        if entry is not None:
            self._entries.move_to_end(name)
        return entry

    def _add(self, wallet: W) -> Entry[W]:
        # Before it is one of them, because it is not used yet either.
        self._make_room()
        entry = self._entries[wallet.name] = Entry(wallet)
        return entry

    def _hold(self, entry: Entry[W], amount: int, now: float) -> Ticket | None:
        """Set an amount aside if a lease covers it; see to it that the next ones find enough."""
        ticket = entry.wallet.hold(amount, now)
        if ticket is not None and entry.wallet.is_low and entry.flight is None and now >= entry.paced_until:
            self._ask_soon(entry)
        return ticket

    def _make_room(self) -> None:
        """Remove wallets that nobody uses now, the one that was not used for the longest time first, for another one."""
        while len(self._entries) >= self._most:
            name = next((name for name, entry in self._entries.items() if is_idle(entry)), None)
            if name is None:
                return
            self._remove(name)

    def _remove(self, name: Hashable) -> None:
        """Remove a wallet that nobody uses now."""
        wallet = self._entries.pop(name).wallet
        if wallet.lease is not None:
            self._leaving.append((wallet.scope, wallet.lease))
            self._wake.set()

    async def _wait(self, entry: Entry[W], amount: int, arrived_at: float) -> Ticket:
        wallet, name, refusals = entry.wallet, object(), 0
        # Questions up to this number were put before the request came, so that what they say is not about it.
        before = entry.asked
        if self._is_unreachable(entry, arrived_at) or self._stopping.is_set():
            raise DependencyError(DEPENDENCY)
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
                    available = wallet.remaining + max(answer.refusal.available, 0)
                    # With what became free here meanwhile it may fit, so that asking again is worth it.
                    enough = 1 if answer.refusal.is_final else self._refusals
                    if refusals >= enough + (_MORE_REFUSALS if amount <= available else 0):
                        raise ExhaustedError(answer.refusal, available)
                if now - arrived_at > self._patience_s or self._stopping.is_set():
                    raise DependencyError(DEPENDENCY)
        finally:
            del wallet.waiting[name]
            self._closed(wallet)

    def _closed(self, wallet: Wallet) -> None:
        entry = self._entries.get(wallet.name)
        if entry is None or entry.flight is not None or self._stopping.is_set():
            return
        if wallet.is_leftover or wallet.has_leftover:
            self._ask_soon(entry)

    def _ask_soon(self, entry: Entry[W]) -> asyncio.Future[Answer]:
        if entry.flight is None:
            entry.flight = asyncio.get_running_loop().create_future()
            self._due.append(entry)
            self._wake.set()
        return entry.flight

    def _start(self, tasks: asyncio.TaskGroup, entry: Entry[W]) -> None:
        # Giving back does not wait.
        pause = entry.paced_until - self._clock.monotonic() if entry.wallet.waiting else 0.0
        task = tasks.create_task(self._fly(entry, pause))
        flight = entry.flight
        # Also of one that was cancelled before it began.
        task.add_done_callback(lambda _: self._end_flight(entry, flight, _nothing(entry)))
        if pause > 0:
            # A stop need not wait for these.
            self._pausing.add(task)

    async def _fly(self, entry: Entry[W], pause: float) -> None:
        flight, answer = entry.flight, _nothing(entry)
        try:
            if pause > 0:
                await self._clock.sleep(pause)
                self._pausing.discard(asyncio.current_task())
            answer = await self._ask(entry)
        finally:
            self._end_flight(entry, flight, answer)
        self._closed(entry.wallet)

    @staticmethod
    def _end_flight(entry: Entry[W], flight: asyncio.Future[Answer] | None, answer: Answer) -> None:
        if flight is None or flight.done():
            return
        entry.flight = None
        flight.set_result(answer)

    async def _ask(self, entry: Entry[W]) -> Answer:
        wallet = entry.wallet
        if wallet.is_leftover or wallet.is_over(self._clock.monotonic()):
            lease = wallet.drop()
            if lease is not None:
                await self._release(wallet.scope, lease)
            return Answer(entry.asked)
        entry.asked += 1
        number, sent_at = entry.asked, self._clock.monotonic()
        ask = wallet.ask(sent_at, self._lease_id)
        if ask.is_new and not ask.needed:
            # Nobody waits any more.
            return Answer(number)
        try:
            grant = await self._call(wallet.scope, ask)
        except EdgeError as error:
            self._silent += 1
            return self._unanswered(entry, number, error)
        self._silent, entry.is_down = 0, False
        if grant is None:
            self._count("lost")
            return self._lost(entry, ask, number)
        entry.refusal = refusal = grant.refusal
        self._count("granted" if refusal is None else "refused")
        if not ask.is_new or refusal is None:
            wallet.take(ask, grant.granted, sent_at, grant.time_to_live, is_scarce=grant.is_scarce)
        self._hear(wallet, grant, sent_at)
        if refusal is None:
            return Answer(number)
        wallet.forget()
        entry.paced_until = self._clock.monotonic() + _REFUSED_PAUSE_S
        return Answer(number, refusal)

    async def _call(self, scope: WalletScope, ask: Ask) -> Grant | None:
        if ask.is_new:
            return await self._lender.acquire(scope, ask.lease.lease_id, ask.needed, ask.wanted)
        return await self._lender.renew(scope, ask.statement, ask.needed, ask.wanted)

    def _hear(self, wallet: W, grant: Grant, sent_at: float) -> None:
        """Note what else is said with a grant or a refusal."""

    def _unanswered(self, entry: Entry[W], number: int, error: EdgeError) -> Answer:
        self._count("unavailable")
        entry.is_down = True
        entry.down_until = entry.paced_until = self._clock.monotonic() + _DOWN_PAUSE_S
        return Answer(number, error=error)

    async def _look(self) -> None:
        """Extend what is in use, give back what is not."""
        while True:
            await self._clock.sleep(_LOOK_S)
            now = self._clock.monotonic()
            for name, entry in list(self._entries.items()):
                wallet = entry.wallet
                if entry.flight is not None or now < entry.paced_until:
                    continue
                if wallet.is_over(now) or wallet.is_renewable(now):
                    self._ask_soon(entry)
                elif wallet.is_forgotten(now):
                    del self._entries[name]

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
        self._calls.add(1, {"edge.lease.kind": self._kind, "edge.lease.result": result})


def _nothing(entry: Entry[W]) -> Answer:
    return Answer(entry.asked, error=DependencyError(DEPENDENCY))


def is_idle(entry: Entry[W]) -> bool:
    """Whether nobody uses a wallet now."""
    lease = entry.wallet.lease
    return entry.flight is None and not entry.wallet.waiting and (lease is None or not lease.holds)
