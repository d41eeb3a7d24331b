"""Use cases on leases: what several edges ask of one organisation at the same time becomes one transaction.

While one transaction of an organisation is under way, what arrives for it waits, and goes together in the next one. So the more is
asked for, the less each asking costs, and what is asked of a quiet organisation waits for nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from opentelemetry.metrics import Meter

from accounts.domain.accounts import checked_text
from accounts.domain.errors import AccountsError, BusyError, InvalidFieldError, StoreUnavailableError
from accounts.domain.lease_ports import LeaseStore
from accounts.domain.leases import MAX_AMOUNT, Acquire, Ask, Grant, LeaseResource, LimitOwner, Release, Renew
from contracts.rate_limits import RateInterval
from servicekit.lifecycle import Component
from servicekit.metrics import CounterSpec, HistogramSpec

ANSWERS: Final = CounterSpec(
    "accounts.lease.answers", "{call}", "Calls about leases that were answered, by what was asked and what came of it."
)
GROUP_SIZE: Final = HistogramSpec(
    "accounts.lease.group_size", "{call}", "Calls about leases of one organisation that were one transaction."
)

MOST_TOGETHER: Final = 500
"""Calls in one transaction: some 50 ms of work, during which settlement of the organisation waits."""

MOST_WAITING: Final = 10_000
_MAX_EDGE_ID: Final = 200


@dataclass(frozen=True, slots=True)
class _Waiting:
    ask: Ask
    answer: asyncio.Future[Grant]


class Leases(Component):
    """Lends, and takes back."""

    name = "leases"

    def __init__(self, store: LeaseStore, meter: Meter, *, transactions: int) -> None:
        """Make the use cases; they answer while the component runs.

        Args:
            store: of leases.
            meter: for metrics.
            transactions: most at the same time, each of another organisation.
        """
        self._store = store
        self._answers = ANSWERS.create(meter)
        self._group_size = GROUP_SIZE.create(meter)
        self._room = asyncio.Semaphore(transactions)
        self._waiting: dict[UUID, list[_Waiting]] = {}
        self._count = 0
        self._tasks: asyncio.TaskGroup | None = None
        self._stopping = asyncio.Event()

    async def acquire(self, ask: Acquire) -> Grant:
        """Lend.

        Raises:
            InvalidFieldError: a field breaks a rule.
            NotFoundError: no such organisation, key or limit, or the lease was there and has ended.
            FencedError: a younger process of the edge has called.
            BusyError: too many calls wait.
            StoreUnavailableError: the same call may be made again.
        """
        _check_borrower(ask)
        if not 0 < ask.needed <= MAX_AMOUNT:
            raise InvalidFieldError("needed", f"must be between 1 and {MAX_AMOUNT}")
        _check_wanted(ask)
        if ask.limit is None:
            if ask.resource is not LeaseResource.MONEY:
                raise InvalidFieldError("limit", "is required for requests and tokens")
        else:
            if ask.limit.interval is RateInterval.NONE:
                raise InvalidFieldError("limit.interval", "must be a minute or a day")
            if ask.limit.owner is not LimitOwner.ORG and ask.key_id is None:
                raise InvalidFieldError("key_id", "is required for a limit of a key, a member or a workspace")
            checked_text("limit.model", ask.limit.model, 0, 200)
        return await self._submit(ask)

    async def renew(self, ask: Renew) -> Grant:
        """Extend a lease, add to it, and take back what is not needed. Raises as `acquire`, NotFoundError for the lease too."""
        _check_borrower(ask)
        if not 0 <= ask.needed <= MAX_AMOUNT:
            raise InvalidFieldError("needed", f"must be between 0 and {MAX_AMOUNT}")
        _check_wanted(ask)
        _check_used(ask)
        if not 0 <= ask.returned <= MAX_AMOUNT:
            raise InvalidFieldError("returned", f"must be between 0 and {MAX_AMOUNT}")
        return await self._submit(ask)

    async def release(self, ask: Release) -> int:
        """End a lease, and return what became free. Raises as `renew`; what has ended already gives 0."""
        _check_borrower(ask)
        _check_used(ask)
        return (await self._submit(ask)).returned

    async def run(self) -> None:
        """Answer until `stop`; what waits then is answered still."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            await self._stopping.wait()

    async def stop(self, grace: timedelta) -> None:
        """Take no more calls."""
        self._tasks = None
        self._stopping.set()

    async def _submit(self, ask: Ask) -> Grant:
        tasks = self._tasks
        if tasks is None:
            raise StoreUnavailableError("leases are not served yet, or no more")
        if self._count >= MOST_WAITING:
            raise BusyError
        waiting = _Waiting(ask, asyncio.get_running_loop().create_future())
        queue = self._waiting.get(ask.org_id)
        if queue is None:
            self._waiting[ask.org_id] = [waiting]
            tasks.create_task(self._serve(ask.org_id))
        else:
            queue.append(waiting)
        self._count += 1
        try:
            grant = await waiting.answer
        except AccountsError as error:
            self._note(ask, type(error).__name__)
            raise
        finally:
            self._count -= 1
        self._note(ask, "done" if grant.refusal is None else grant.refusal.reason.name.lower())
        return grant

    async def _serve(self, org_id: UUID) -> None:
        queue = self._waiting[org_id]
        while queue:
            async with self._room:
                # Nobody waits any more for what was cancelled; it would lend to nobody.
                group = [waiting for waiting in queue[:MOST_TOGETHER] if not waiting.answer.done()]
                del queue[:MOST_TOGETHER]
                if group:
                    await self._answer(org_id, group)
        del self._waiting[org_id]

    async def _answer(self, org_id: UUID, group: list[_Waiting]) -> None:
        self._group_size.record(len(group))
        outcomes: Sequence[Grant | Exception]
        try:
            outcomes = await self._store.answer(org_id, [waiting.ask for waiting in group])
        except Exception as error:
            outcomes = [error] * len(group)
        for waiting, outcome in zip(group, outcomes, strict=True):
            if waiting.answer.done():
                continue
            if isinstance(outcome, Exception):
                waiting.answer.set_exception(outcome)
            else:
                waiting.answer.set_result(outcome)

    def _note(self, ask: Ask, outcome: str) -> None:
        self._answers.add(1, {"call": type(ask).__name__.lower(), "outcome": outcome})


def _check_borrower(ask: Ask) -> None:
    checked_text("borrower.edge_id", ask.borrower.edge_id, 1, _MAX_EDGE_ID)
    if ask.borrower.epoch <= 0:
        raise InvalidFieldError("borrower.edge_epoch", "must be more than 0")


def _check_wanted(ask: Acquire | Renew) -> None:
    if not ask.needed <= ask.wanted <= MAX_AMOUNT:
        raise InvalidFieldError("wanted", f"must be between needed and {MAX_AMOUNT}")


def _check_used(ask: Renew | Release) -> None:
    for name, amount in (("spent", ask.spent), ("in_flight", ask.in_flight)):
        if not 0 <= amount <= MAX_AMOUNT:
            raise InvalidFieldError(name, f"must be between 0 and {MAX_AMOUNT}")
