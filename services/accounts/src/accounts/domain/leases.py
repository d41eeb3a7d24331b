"""Leases as values: what is lent to edges, from which accounts, and how much of it at a time.

An account bounds spending: the credit of an organisation, the limit of a key, a budget, a window of a rate limit. What is lent
is *held* on every account that it is lent from, so that what was spent and what could still be spent never exceeds one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final
from uuid import UUID

from contracts.rate_limits import LimitedQuantity, RateInterval
from contracts.spend import SpendInterval

CREDIT: Final = "credit"
"""Name of the account of an organisation's credit."""

MAX_AMOUNT: Final = 10**18
"""Most that can be asked for: far below what 64 bits hold, a billion dollars."""

SMALL_CREDIT: Final = 5 * 10**9
"""Five dollars: with less left, each request is lent for by itself (billing design, 3.4)."""

SMALL_WINDOW: Final = 100
"""Requests: with room for fewer in a window of a rate limit, each is lent for by itself. So a small limit is kept exactly, wherever its
requests arrive, and costs accounts about so many calls a window."""


class LeaseResource(IntEnum):
    """What is lent; the numbers are those of the wire."""

    MONEY = 1
    REQUESTS = 2
    TOKENS = 3

    @property
    def quantity(self) -> LimitedQuantity:
        """What a rate limit on it counts."""
        match self:
            case LeaseResource.REQUESTS:
                return LimitedQuantity.REQUESTS
            case LeaseResource.TOKENS:
                return LimitedQuantity.TOKENS
            case _:
                return LimitedQuantity.SPEND


class LimitOwner(IntEnum):
    """Whose limit a rate limit is; the numbers are those of the wire."""

    ORG = 1
    KEY = 2
    MEMBER = 3
    WORKSPACE = 4


class AccountKind(IntEnum):
    """What an account belongs to; the numbers are those of the wire."""

    ORG = 1
    KEY = 2
    WORKSPACE = 3
    GUARDRAIL_KEY = 4
    GUARDRAIL_MEMBER = 5


class RefusalReason(IntEnum):
    """Why nothing is lent; the numbers are those of the wire."""

    EXHAUSTED = 1
    ORG_FROZEN = 2
    KEY_UNUSABLE = 3


@dataclass(frozen=True, slots=True)
class Borrower:
    """One process of an edge; `epoch` grows with each start of it."""

    edge_id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class LimitName:
    """Which rate limit; `guardrail_id` empty for the owner's own, `model` empty for all."""

    owner: LimitOwner
    interval: RateInterval
    guardrail_id: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True)
class Acquire:
    """Asks for a lease. Amounts in units of the resource; `key_id` None is for all that only credit bounds."""

    borrower: Borrower
    lease_id: UUID
    org_id: UUID
    key_id: UUID | None
    resource: LeaseResource
    needed: int
    wanted: int
    limit: LimitName | None = None


@dataclass(frozen=True, slots=True)
class Renew:
    """Asks to extend a lease. `spent` and `returned` are totals since it was made; `needed` and `wanted` come on top."""

    borrower: Borrower
    lease_id: UUID
    org_id: UUID
    needed: int
    wanted: int
    spent: int
    in_flight: int
    returned: int


@dataclass(frozen=True, slots=True)
class Release:
    """Ends a lease, of which so much was spent and so much may still be."""

    borrower: Borrower
    lease_id: UUID
    org_id: UUID
    spent: int
    in_flight: int


Ask = Acquire | Renew | Release


@dataclass(slots=True)
class Account:
    """What bounds spending, as a transaction finds and leaves it.

    Attributes:
        name: among those of its organisation.
        kind: what it belongs to.
        subject: the id of that.
        limit: most that may be spent; None for an account that bounds nothing any more.
        spent: of it. The credit of an organisation has its balance as the limit, and nothing spent.
        held: lent and not settled.
        interval: how often the amount is there anew.
        resets_at: when it is.
        guardrail_id: that states the limit; empty for none.
        ends_at: of a window of a rate limit, after which the account is of no use. None for money.
    """

    name: str
    kind: AccountKind
    subject: str
    limit: int | None
    spent: int = 0
    held: int = 0
    interval: SpendInterval = SpendInterval.NEVER
    resets_at: datetime | None = None
    guardrail_id: str = ""
    ends_at: datetime | None = None

    @property
    def available(self) -> int | None:
        """What is neither spent nor held; None for everything."""
        return None if self.limit is None else self.limit - self.spent - self.held


@dataclass(slots=True)
class Lease:
    """What was lent to one process of an edge, as a transaction finds and leaves it.

    Attributes:
        granted: lent since it was made.
        returned: given back of that since.
        spent: of it: what was settled of money, what the edge says of requests and tokens.
        accounts: names of those that it holds on.
        expires_at: when the edge starts nothing more on it.
        closes_at: when what is left of it is free, because nothing can settle any more.
        released_at: when the edge gave it up.
        closed_at: when nothing was left of it.
    """

    lease_id: UUID
    key_id: UUID | None
    borrower: Borrower
    resource: LeaseResource
    accounts: tuple[str, ...]
    granted: int
    expires_at: datetime
    closes_at: datetime
    is_windowed: bool = False
    returned: int = 0
    spent: int = 0
    released_at: datetime | None = None
    closed_at: datetime | None = None

    @property
    def held(self) -> int:
        """What each of its accounts holds for it. Never negative: what was spent beyond the grant holds nothing back."""
        return 0 if self.closed_at is not None else max(self.granted - self.returned - self.spent, 0)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing is lent. The account is a copy, as it stood; None where the reason is not about one.

    `resets_in` says when its amount is there anew; None for never.
    """

    reason: RefusalReason
    account: Account | None = None
    resets_in: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """The answer to what was asked for.

    Attributes:
        granted: lent by the lease since it was made.
        time_to_live: from now on; zero for a lease that was not extended.
        is_scarce: whether each request is lent for by itself.
        refusal: why nothing was lent or added, or why the lease was not extended.
        returned: what became free by a release.
        edges: that borrow from the organisation.
        window_ends_in: when the window of a rate limit ends; None for credit.
    """

    granted: int
    time_to_live: timedelta = timedelta(0)
    is_scarce: bool = False
    refusal: Refusal | None = None
    returned: int = 0
    edges: int = 0
    window_ends_in: timedelta | None = None


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """How long leases live, and from when on credit is scarce.

    Attributes:
        ttl: how long an edge may start requests after it last heard.
        grace: how long after that what it started may take to settle.
        small_credit: in nano-dollars.
    """

    ttl: timedelta
    grace: timedelta
    small_credit: int = SMALL_CREDIT


def is_scarce(needed: int, available: int, edges: int, small: int) -> bool:
    """Whether so little is left that lending ahead would leave others without, although it is not spent."""
    return available < small or available < 2 * edges * needed


def grant_size(needed: int, wanted: int, available: int, edges: int, small: int) -> int:
    """How much to lend; 0 when less than needed is left.

    Args:
        needed: the least that helps, more than 0.
        wanted: what the edge spends in twice ten seconds, or would like for another reason.
        available: what is left in the tightest of the accounts.
        edges: that borrow from the organisation, this one included.
        small: what is left at least when anything is lent ahead.
    """
    if available < needed:
        return 0
    if is_scarce(needed, available, edges, small):
        return needed
    most = available // (2 * edges)
    return max(needed, min(max(wanted, -(-3 * needed // 2)), most))
