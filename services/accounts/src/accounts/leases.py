"""Use cases on leases: what edges ask at the same time, of whichever organisations, becomes a few transactions.

While as many transactions are under way as there may be, what arrives waits, and goes together in the next one. So the more is asked
for, the less each asking costs, and what is asked for when little is waits for nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from opentelemetry.metrics import Meter

from accounts.domain.accounts import checked_text
from accounts.domain.errors import AccountsError, BusyError, InvalidFieldError, NotFoundError, StoreUnavailableError
from accounts.domain.lease_ports import LeaseStore
from accounts.domain.leases import MAX_AMOUNT, Acquire, Ask, Grant, LeaseResource, LimitOwner, Release, Renew
from contracts.rate_limits import RateInterval
from servicekit.lifecycle import Component
from servicekit.metrics import CounterSpec, HistogramSpec

ANSWERS: Final = CounterSpec(
    "accounts.lease.answers", "{call}", "Calls about leases that were answered, by what was asked and what came of it."
)
GROUP_SIZE: Final = HistogramSpec(
    "accounts.lease.group_size", "{call}", "Calls about leases that were one transaction."
)

MOST_TOGETHER: Final = 500
"""Calls in one transaction: some 50 ms of work, during which settlement of their organisations waits."""

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
            transactions: most at the same time, each of other organisations.
        """
        self._store = store
        self._answers = ANSWERS.create(meter)
        self._group_size = GROUP_SIZE.create(meter)
        self._most = transactions
        self._transactions = 0
        # Of each organisation; those that are ready to be taken, the first first, are in no transaction now.
        self._waiting: dict[UUID, list[_Waiting]] = {}
        self._ready: dict[UUID, None] = {}
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
            self._ready[ask.org_id] = None
        else:
            queue.append(waiting)
        if self._ready and self._transactions < self._most:
            self._transactions += 1
            tasks.create_task(self._serve())
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

    async def _serve(self) -> None:
        """Answer what is ready, transaction after transaction, until nothing is."""
        try:
            while self._ready:
                org_ids, groups = self._take()
                if groups:
                    await self._answer(groups)
                for org_id in org_ids:
                    if self._waiting[org_id]:
                        self._ready[org_id] = None
                    else:
                        del self._waiting[org_id]
        finally:
            self._transactions -= 1

    def _take(self) -> tuple[Sequence[UUID], Mapping[UUID, Sequence[_Waiting]]]:
        """Take what goes together: the organisations, and what is asked of them."""
        org_ids: list[UUID] = []
        groups: dict[UUID, Sequence[_Waiting]] = {}
        room = MOST_TOGETHER
        while self._ready and room:
            org_id = next(iter(self._ready))
            del self._ready[org_id]
            org_ids.append(org_id)
            queue = self._waiting[org_id]
            # Nobody waits any more for what was cancelled; it would lend to nobody.
            group = [waiting for waiting in queue[:room] if not waiting.answer.done()]
            del queue[:room]
            if group:
                groups[org_id] = group
            room -= len(group)
        return org_ids, groups

    async def _answer(self, groups: Mapping[UUID, Sequence[_Waiting]]) -> None:
        # Who is alone may wait for whoever is at the organisation. Several do not wait for one: it comes after them.
        answered = await self._together(groups, may_wait=len(groups) == 1)
        late = {org_id: group for org_id, group in groups.items() if org_id not in answered}
        if late and len(groups) > 1:
            answered = await self._together(late, may_wait=True)
            late = {org_id: group for org_id, group in late.items() if org_id not in answered}
        for group in late.values():
            _tell(group, [NotFoundError("no such organisation")] * len(group))

    async def _together(self, groups: Mapping[UUID, Sequence[_Waiting]], *, may_wait: bool) -> Collection[UUID]:
        """Answer in one transaction; returns the organisations of which something was answered."""
        self._group_size.record(sum(len(group) for group in groups.values()))
        asks = {org_id: [waiting.ask for waiting in group] for org_id, group in groups.items()}
        try:
            outcomes: Mapping[UUID, Sequence[Grant | Exception]] = await self._store.answer(asks, may_wait=may_wait)
        except Exception as error:
            outcomes = {org_id: [error] * len(group) for org_id, group in groups.items()}
        for org_id, each in outcomes.items():
            _tell(groups[org_id], each)
        return outcomes.keys()

    def _note(self, ask: Ask, outcome: str) -> None:
        self._answers.add(1, {"call": type(ask).__name__.lower(), "outcome": outcome})


def _tell(group: Sequence[_Waiting], outcomes: Sequence[Grant | Exception]) -> None:
    for waiting, outcome in zip(group, outcomes, strict=True):
        if waiting.answer.done():
            continue
        if isinstance(outcome, Exception):
            waiting.answer.set_exception(outcome)
        else:
            waiting.answer.set_result(outcome)


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
