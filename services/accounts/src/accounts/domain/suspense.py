"""What the books do with usage that cannot be priced. Pure.

Nobody is charged for it, and the provider will charge us all the same. What is known of that waits on the account `suspense`
until somebody, or a later statement about the same generation, says what is right:

| event                                        | debit              | credit                        |
|----------------------------------------------|--------------------|-------------------------------|
| a record cannot be priced                    | `suspense`         | `provider_payable:<provider>` |
| the generation is settled after all          | `provider_payable:<provider>` | `suspense`         |
| it is written off: we bear it                | `provider_cost`    | `suspense`                    |
| it is voided: the provider charges nothing   | `provider_payable:<provider>` | `suspense`         |
| a generation that was written off is settled | `provider_payable:<provider>` | `provider_cost`    |

In suspense is what is estimated beyond what the books already say that the provider is owed for the generation, so that no order
of statements makes us owe anything twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum
from typing import Final, Protocol
from uuid import UUID

from accounts.domain.errors import AlreadyExistsError
from accounts.domain.payments import SUSPENSE
from accounts.domain.people import Actor
from accounts.domain.ports import OutboxMessage
from accounts.domain.postings import PROVIDER_COST, Entry, Posted, UsageFact, provider_payable
from accounts.domain.prices import KnownPrice

UNKNOWN_RANK: Final = 0
"""Of a record that does not say soundly who states it: any statement that can be priced knows better."""


class SuspenseState(IntEnum):
    """What has become of suspended usage; the numbers are those of the wire and the database."""

    OPEN = 1
    ACCEPTED = 2
    WRITTEN_OFF = 3
    VOIDED = 4
    SETTLED = 5
    """A statement that could be priced came after all."""


@dataclass(frozen=True, slots=True)
class SuspendedStatement:
    """What a record that cannot be priced says.

    `org_id` and `event_id` are None where it does not name them soundly. `estimate` is what each provider will charge, in
    nano-dollars, as far as that can be told.
    """

    suspense_id: UUID
    org_id: UUID | None
    event_id: UUID | None
    generation_id: str
    rank: int
    price_version: str
    reason: str
    estimate: Mapping[str, int]
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Suspense:
    """A suspended statement on the books. `held` is what of the estimate the ledger has in suspense, or wrote off."""

    statement: SuspendedStatement
    state: SuspenseState
    held: Mapping[str, int]

    @property
    def nano(self) -> int:
        """What is held, in nano-dollars."""
        return sum(self.held.values())


@dataclass(frozen=True, slots=True)
class ListedSuspense:
    """Suspended usage with its dates, as operators see it."""

    suspense: Suspense
    suspended_at: datetime
    resolved_at: datetime | None
    note: str


@dataclass(frozen=True, slots=True)
class Resolution:
    """What becomes of suspended usage: a `fact` to settle in its place, with the `message` that tells others and the
    `prices` that are known from now on, or entries alone."""

    after: Suspense
    entries: Sequence[Entry] = ()
    fact: UsageFact | None = None
    message: OutboxMessage | None = None
    prices: Sequence[KnownPrice] = ()


Decide = Callable[[Suspense], Resolution | None]
"""Says what becomes of suspended usage, of which nobody else decides meanwhile; None to leave it as it is."""


class SuspenseStore(Protocol):
    """Suspended usage. Every method may raise StoreUnavailableError."""

    def pages(self, org_id: UUID | None, *, resolved: bool) -> AsyncIterator[Sequence[ListedSuspense]]:
        """List suspended usage, oldest first: of one organisation or of all, open or whatever became of it."""
        ...

    async def priced(self, reason: str, after: UUID, limit: int) -> Sequence[UUID]:
        """Of what is open for a reason, what has a price version that the price book knows, in the order of ids after one."""
        ...

    async def resolve(
        self, suspense_id: UUID, decide: Decide, actor: Actor, note: str, now: datetime
    ) -> tuple[ListedSuspense, int]:
        """Do what is decided, all or nothing, with an entry in the organisation's audit log.

        Returns:
            What it is now, and what its organisation is charged by it in nano-dollars.

        Raises:
            NotFoundError: there is no such thing.
            AlreadyExistsError: the books know better meanwhile.
        """
        ...


Change = tuple[Suspense, list[Entry]]
"""What suspended usage is now, and the entries that make it so."""


def owed(settled: UsageFact | Posted | None) -> dict[str, int]:
    """What the books say that each provider is owed for a generation, in nano-dollars."""
    if settled is None:
        return {}
    by_provider = dict(settled.hedges)
    if settled.provider_cost and not settled.is_byok:
        by_provider[settled.provider] = by_provider.get(settled.provider, 0) + settled.provider_cost
    return by_provider


def suspend(statement: SuspendedStatement, before: Suspense | None, settled: Posted | None) -> Change | None:
    """Put a statement into suspense, once whatever it is repeated; None when that changes nothing.

    Args:
        statement: what cannot be priced.
        before: what is in suspense of the same generation already.
        settled: what the books hold of it; a statement of that rank or a higher one knows better.
    """
    if settled is not None and settled.rank >= statement.rank:
        return None
    if before is not None:
        # What a person wrote off or voided stays that.
        if before.state in {SuspenseState.WRITTEN_OFF, SuspenseState.VOIDED}:
            return None
        if before.statement.rank >= statement.rank:
            return None
    booked = owed(settled) if statement.org_id is not None else statement.estimate
    after = Suspense(statement, SuspenseState.OPEN, _beyond(statement.estimate, booked))
    was = before.held if before is not None and before.state is SuspenseState.OPEN else {}
    return after, _entries(after, was, after.held, SUSPENSE, "suspense")


def give_way(suspense: Suspense, fact: UsageFact) -> Change:
    """Take back what a statement that was settled makes superfluous: all of it, unless its rank is lower.

    Args:
        suspense: open, or written off.
        fact: what was settled of the same generation.
    """
    against = SUSPENSE if suspense.state is SuspenseState.OPEN else PROVIDER_COST
    is_final = fact.rank >= suspense.statement.rank
    held = {} if is_final else _beyond(suspense.statement.estimate, owed(fact))
    after = replace(suspense, held=held, state=SuspenseState.SETTLED if is_final else suspense.state)
    return after, _entries(after, suspense.held, held, against, "suspense_released")


def write_off(suspense: Suspense) -> Change:
    """Bear it: the provider is owed what is held, and nobody is charged.

    Raises:
        AlreadyExistsError: it was resolved before, in another way.
    """
    if suspense.state is SuspenseState.WRITTEN_OFF:
        return suspense, []
    _check_open(suspense)
    statement = suspense.statement
    entries = [
        Entry(_cause(statement), statement.org_id, PROVIDER_COST, SUSPENSE, nano, "", "suspense_written_off")
        for nano in suspense.held.values()
        if statement.org_id is not None
    ]
    return replace(suspense, state=SuspenseState.WRITTEN_OFF), entries


def void(suspense: Suspense) -> Change:
    """Say that the provider charges nothing.

    Raises:
        AlreadyExistsError: it was resolved before, in another way.
    """
    if suspense.state is SuspenseState.VOIDED:
        return suspense, []
    _check_open(suspense)
    after = replace(suspense, state=SuspenseState.VOIDED, held={})
    return after, _entries(after, suspense.held, {}, SUSPENSE, "suspense_voided")


def check_acceptable(suspense: Suspense) -> bool:
    """Whether it is still to be accepted; False when it was.

    Raises:
        AlreadyExistsError: it was resolved in another way.
    """
    if suspense.state is SuspenseState.ACCEPTED:
        return False
    _check_open(suspense)
    return True


def _check_open(suspense: Suspense) -> None:
    if suspense.state is not SuspenseState.OPEN:
        state = suspense.state.name.lower().replace("_", " ")
        raise AlreadyExistsError(f"the usage is no longer in suspense: it was {state}")


def _cause(statement: SuspendedStatement) -> UUID:
    """Of its entries: not the event's own id, which only the entries of settled usage carry."""
    return statement.suspense_id


def _beyond(estimate: Mapping[str, int], booked: Mapping[str, int]) -> dict[str, int]:
    rest = {provider: nano - booked.get(provider, 0) for provider, nano in estimate.items()}
    return {provider: nano for provider, nano in rest.items() if nano > 0}


def _entries(
    suspense: Suspense, was: Mapping[str, int], held: Mapping[str, int], account: str, reason: str
) -> list[Entry]:
    statement = suspense.statement
    if statement.org_id is None:
        return []
    entries = []
    for provider in sorted({*was, *held}):
        nano = held.get(provider, 0) - was.get(provider, 0)
        debit, credit = (account, provider_payable(provider)) if nano > 0 else (provider_payable(provider), account)
        if nano:
            entries.append(Entry(_cause(statement), statement.org_id, debit, credit, abs(nano), "", reason))
    return entries
