"""Who calls and who pays, as far as the edge needs to know."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from enum import IntEnum, StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from contracts.ids import KeyId, OrgId
from contracts.money import NanoUsd
from contracts.rate_limits import RateLimit
from contracts.spend import Spend, SpendInterval
from edge.domain.budgets import WorkspaceBudget, check_budgets
from edge.domain.errors import (
    AddressNotAllowedError,
    DisabledKeyError,
    ExpiredKeyError,
    FrozenOrgError,
    WrongKeyKindError,
)
from edge.domain.org_limits import OrgRateLimit

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_MS_PER_DAY = 86_400_000


class Role(IntEnum):
    """What a member may do in an organisation; the numbers are those of the wire, and a lower one may do more."""

    OWNER = 1
    ADMIN = 2
    BILLING = 3
    DEVELOPER = 4
    VIEWER = 5


@dataclass(frozen=True, slots=True)
class Member:
    """A person who is signed in.

    Attributes:
        role: in the organisation that the session is in; None while it is in none.
        token_digest: names the session; never leaves the services.
    """

    user_id: str
    email: str
    role: Role | None
    token_digest: str


class KeyKind(StrEnum):
    """What a key may do."""

    INFERENCE = "inference"
    MANAGEMENT = "management"


@dataclass(frozen=True, slots=True)
class KeyAccess:
    """What a key may be used for, and from where. Empty collections restrict nothing.

    Attributes:
        models: author/slug.
        providers: slugs or tags.
        networks: of callers.
    """

    models: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()

    def check_address(self, address: Address | None) -> None:
        """Check that the key may be used from an address; None is one that is not known.

        Raises:
            AddressNotAllowedError: it may not.
        """
        if not self.networks:
            return
        if address is None or not any(address in network for network in self.networks):
            raise AddressNotAllowedError


def day_of(now_ms: int) -> date:
    """The UTC day of a moment in Unix milliseconds."""
    return date.fromordinal(_EPOCH_ORDINAL + now_ms // _MS_PER_DAY)


@dataclass(frozen=True, slots=True)
class Key:
    """An API key, without the key itself.

    Attributes:
        digest: HMAC of the whole key under the pepper that it was made under: its `hash` at the public API.
        lookup_digest: the same under a later pepper, by which it is looked up instead; empty for `digest`.
        limit: most that it may spend in its life; None means no limit.
        spent: what it had spent when this was written down.
        expires_at_ms: Unix milliseconds from which it is worthless; None means never.
        revision: grows with every change; a lower one is late.
        limit_reset: how often the limit is there anew.
        include_byok_in_limit: whether what is spent with the customer's own provider keys counts towards the limit.
        spend: what it had spent by period when this was written down.
        access: what it may be used for, and from where.
        rate_limits: its own.
        creator_user_id: the member who made it; empty when not known.
        guardrail_id: assigned to it; empty for none.
        member_guardrail_id: assigned to the member who made it; empty for none.
        workspace_id: that it belongs to; empty for the default one.
        creator_spend: what all keys of that member spent; None where no budget needs it.
        logs_content: whether what is said with it is kept (S46).
    """

    key_id: KeyId
    digest: str
    org_id: OrgId
    kind: KeyKind
    disabled: bool
    limit: NanoUsd | None
    spent: NanoUsd
    expires_at_ms: int | None
    revision: int
    limit_reset: SpendInterval = SpendInterval.NEVER
    include_byok_in_limit: bool = False
    spend: Spend = field(default=Spend())
    access: KeyAccess = field(default=KeyAccess())
    rate_limits: tuple[RateLimit, ...] = ()
    creator_user_id: str = ""
    guardrail_id: str = ""
    member_guardrail_id: str = ""
    creator_spend: Spend | None = None
    workspace_id: str = ""
    logs_content: bool = False
    lookup_digest: str = ""

    @property
    def looked_up_by(self) -> str:
        """The digest by which it is found."""
        return self.lookup_digest or self.digest

    @property
    def workspace(self) -> str:
        """The workspace that it belongs to; the default one has the id of its organisation."""
        return self.workspace_id or self.org_id

    def counted(self, now_ms: int) -> int:
        """What counts towards the limit at a moment, in nano-dollars."""
        if self.limit_reset is SpendInterval.NEVER:
            return self.spent + (self.spend.byok.total if self.include_byok_in_limit else 0)
        return self.spend.within(self.limit_reset, day_of(now_ms), with_byok=self.include_byok_in_limit)

    def check_usable(self, now_ms: int) -> None:
        """Check that the key is good for anything at this moment.

        Raises:
            DisabledKeyError: it is switched off.
            ExpiredKeyError: its time is over.
        """
        if self.disabled:
            raise DisabledKeyError
        if self.expires_at_ms is not None and now_ms >= self.expires_at_ms:
            raise ExpiredKeyError


@dataclass(frozen=True, slots=True)
class Org:
    """A paying organisation.

    Attributes:
        balance: credit less everything settled, when this was written down.
        revision: grows with every change; a lower one is late.
        byok_revision: counts the changes to its own provider keys; 0 when it has never had one.
        byok_spend: what it spent with them in a month, at list price.
        budgets: of its workspaces.
        rate_limits: of all of it, and of its workspaces.
    """

    org_id: OrgId
    active: bool
    balance: NanoUsd
    revision: int
    byok_revision: int = 0
    byok_spend: Spend = field(default=Spend())
    budgets: tuple[WorkspaceBudget, ...] = ()
    rate_limits: tuple[OrgRateLimit, ...] = ()

    def has_budget(self, workspace_id: str) -> bool:
        """Whether one of its budgets bounds what the keys of a workspace spend."""
        return any(budget.workspace_id == workspace_id for budget in self.budgets)

    def check_active(self) -> None:
        """Check that the organisation may spend.

        Raises:
            FrozenOrgError: it may not.
        """
        if not self.active:
            raise FrozenOrgError


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller.

    A person who is signed in acts as a key of management that their role narrows: `key` then stands for the session, and
    has its id.
    """

    key: Key
    org: Org
    member: Member | None = None

    @property
    def sees_keys_of(self) -> str:
        """The member whose keys the caller may see; empty for everybody's. A developer sees their own."""
        if self.member is None or self.member.role is not Role.DEVELOPER:
            return ""
        return self.member.user_id

    def check_budgets(self, now_ms: int) -> None:
        """Check that the key's workspace may spend.

        Raises:
            BudgetError: it may not.
        """
        check_budgets(self.org.budgets, self.key.workspace, day_of(now_ms))

    def check_kind(self, kind: KeyKind) -> None:
        """Check that the caller's key is of a kind.

        Raises:
            WrongKeyKindError: it is of the other.
        """
        if self.key.kind is kind:
            return
        if kind is KeyKind.MANAGEMENT:
            raise WrongKeyKindError("Only management keys can perform this operation")
        raise WrongKeyKindError("Management keys cannot be used for this operation")
