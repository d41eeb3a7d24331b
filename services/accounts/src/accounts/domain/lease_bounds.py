"""Which accounts bound what an organisation and its keys may spend. Pure.

| account | bounds | spent of it is |
|---|---|---|
| `credit` | the organisation | settled usage, in the balance |
| `key/<key>` | the key, by its limit | what the key spent in the period |
| `workspace/<workspace>/<interval>` | all keys of a workspace, by a budget | what they spent in the period |
| `guardrail/<guardrail>/key/<key>` | the key, by a guardrail of its own or of its workspace | what the key spent in the period |
| `guardrail/<guardrail>/member/<user>` | all keys of a member, by a guardrail of the member or of the workspace | what they spent |
| `rate/<owner>/<subject>/<guardrail>/<quantity>/<interval>/<model>/<window>` | one window of a rate limit | what edges say |

What is held on an account is not of a period: a generation that begins before midnight may settle after it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote, unquote
from uuid import UUID

from accounts.domain.accounts import ApiKey, KeyKind, Org, OrgStatus
from accounts.domain.budgets import BudgetInterval
from accounts.domain.errors import NotFoundError
from accounts.domain.leases import (
    CREDIT,
    Account,
    AccountKind,
    Acquire,
    Lease,
    LimitName,
    LimitOwner,
    RefusalReason,
)
from contracts.guardrails import Guardrail, default_guardrail_id
from contracts.rate_limits import RateInterval, RateLimit
from contracts.spend import Spend, SpendInterval

_WINDOWS: Final = {RateInterval.MINUTE: timedelta(minutes=1), RateInterval.DAY: timedelta(days=1)}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def kept_account(name: str, amount: int | None, ends_at: datetime | None) -> Account:
    """An account that a lease holds on, as its name tells: a window, or one that bounds nothing any more.

    Args:
        name: of the account.
        amount: what a window allowed when it was last lent from.
        ends_at: when the window ends.
    """
    if ends_at is None:
        return Account(name, AccountKind.ORG, "", None)
    _, owner, subject, guardrail_id, *_ = (unquote(part) for part in name.split("/"))
    kind = _window_kind(LimitOwner[owner.upper()], guardrail_id)
    return Account(name, kind, subject, amount, resets_at=ends_at, guardrail_id=guardrail_id, ends_at=ends_at)


def _window_kind(owner: LimitOwner, guardrail_id: str) -> AccountKind:
    match owner:
        case LimitOwner.ORG:
            return AccountKind.ORG
        case LimitOwner.KEY:
            return AccountKind.GUARDRAIL_KEY if guardrail_id else AccountKind.KEY
        case LimitOwner.MEMBER:
            return AccountKind.GUARDRAIL_MEMBER
        case LimitOwner.WORKSPACE:
            return AccountKind.WORKSPACE


def guardrail_ids(keys: Collection[ApiKey]) -> set[str]:
    """Every guardrail that may bind one of these keys."""
    found = {default_guardrail_id(str(key.workspace_id or key.org_id)) for key in keys}
    for key in keys:
        found |= {key.bonds.guardrail_id, key.bonds.member_guardrail_id}
    return found - {""}


@dataclass(frozen=True, slots=True)
class CreditBounds:
    """The Bounds of one organisation.

    Attributes:
        org: with what it has, what its workspaces spent, and its rate limits.
        keys: those that are asked for, deleted ones too, with what they spent.
        deleted: of these.
        guardrails: those that bind them, by id.
        now: the moment.
    """

    org: Org
    keys: Mapping[UUID, ApiKey]
    deleted: Collection[UUID]
    guardrails: Mapping[str, Guardrail]
    now: datetime

    def of(self, ask: Acquire) -> Sequence[Account]:
        """The accounts of a new lease.

        Raises:
            NotFoundError: the organisation has no such key, or nobody such a limit.
        """
        if ask.limit is not None:
            return [self._window(ask, ask.limit)]
        return self._credit(ask.key_id)

    def of_lease(self, lease: Lease) -> Sequence[Account]:
        """The accounts that a lease would have if it were new; none for one of a window."""
        return [] if lease.is_windowed else self._credit(lease.key_id)

    def refusal(self, key_id: UUID | None) -> RefusalReason | None:
        """Why nothing at all is lent, to the organisation or for a key."""
        if self.org.status is not OrgStatus.ACTIVE:
            return RefusalReason.ORG_FROZEN
        if key_id is None:
            return None
        key = self._key(key_id)
        ended = key.expires_at is not None and key.expires_at <= self.now
        if key_id in self.deleted or key.disabled or ended or key.kind is not KeyKind.INFERENCE:
            return RefusalReason.KEY_UNUSABLE
        return None

    def _credit(self, key_id: UUID | None) -> list[Account]:
        accounts = [Account(CREDIT, AccountKind.ORG, str(self.org.org_id), self.org.balance)]
        if key_id is None:
            return accounts
        key = self._key(key_id)
        if key.limit is not None:
            accounts.append(self._key_limit(key, key.limit))
        found = [*accounts, *self._budgets(key), *self._guardrails(key)]
        # A guardrail can bind a key twice: by assignment, and as that of the workspace.
        return list({account.name: account for account in found}.values())

    def _key_limit(self, key: ApiKey, limit: int) -> Account:
        settings, subject = key.settings, str(key.key_id)
        spent = key.spend.within(
            settings.limit_reset, self.now.astimezone(UTC).date(), with_byok=settings.include_byok_in_limit
        )
        return Account(
            f"key/{subject}",
            AccountKind.KEY,
            subject,
            limit,
            spent,
            interval=settings.limit_reset,
            resets_at=settings.limit_reset.resets_at(self.now),
        )

    def _budgets(self, key: ApiKey) -> Iterator[Account]:
        workspace, today = key.workspace_id or key.org_id, self.now.astimezone(UTC).date()
        for budget in self.org.budgets:
            if budget.workspace_id != workspace:
                continue
            lifetime = budget.interval is BudgetInterval.LIFETIME
            interval = SpendInterval.NEVER if lifetime else SpendInterval(budget.interval)
            yield Account(
                f"workspace/{workspace}/{interval.name.lower()}",
                AccountKind.WORKSPACE,
                str(workspace),
                budget.limit,
                0 if interval.starts(today) > budget.day else budget.spent,
                interval=interval,
                resets_at=interval.resets_at(self.now),
            )

    def _guardrails(self, key: ApiKey) -> Iterator[Account]:
        for owner, guardrail in self._bound(key):
            policy = guardrail.policy
            spend = key.spend if owner is LimitOwner.KEY else key.bonds.creator_spend
            if policy.limit is None or spend is None:
                continue
            subject = _subject(owner, key)
            yield Account(
                f"guardrail/{guardrail.guardrail_id}/{owner.name.lower()}/{subject}",
                AccountKind.GUARDRAIL_KEY if owner is LimitOwner.KEY else AccountKind.GUARDRAIL_MEMBER,
                subject,
                policy.limit,
                _within(spend, policy.reset_interval, self.now, with_byok=policy.include_byok_in_budgets),
                interval=policy.reset_interval,
                resets_at=policy.reset_interval.resets_at(self.now),
                guardrail_id=guardrail.guardrail_id,
            )

    def _bound(self, key: ApiKey) -> Iterator[tuple[LimitOwner, Guardrail]]:
        """The guardrails that bind a key, and whether for the key or for its member; that of the workspace for both."""
        default = default_guardrail_id(str(key.workspace_id or key.org_id))
        for owner, guardrail_id in (
            (LimitOwner.KEY, key.bonds.guardrail_id),
            (LimitOwner.MEMBER, key.bonds.member_guardrail_id),
            (LimitOwner.KEY, default),
            (LimitOwner.MEMBER, default),
        ):
            guardrail = self.guardrails.get(guardrail_id)
            if guardrail is not None and (owner is LimitOwner.KEY or key.settings.creator_user_id):
                yield owner, guardrail

    def _window(self, ask: Acquire, name: LimitName) -> Account:
        limits, subject = self._limits(ask.key_id, name)
        quantity = ask.resource.quantity
        for limit in limits:
            if (limit.quantity, limit.interval, limit.model) == (quantity, name.interval, name.model):
                break
        else:
            raise NotFoundError("no such limit")
        length = _WINDOWS[name.interval]
        number = (self.now - _EPOCH) // length
        ends_at = _EPOCH + (number + 1) * length
        parts = (name.owner.name.lower(), subject, name.guardrail_id, quantity, name.interval, name.model, str(number))
        return Account(
            "rate/" + "/".join(quote(part, safe="") for part in parts),
            _window_kind(name.owner, name.guardrail_id),
            subject,
            limit.amount,
            resets_at=ends_at,
            guardrail_id=name.guardrail_id,
            ends_at=ends_at,
        )

    def _limits(self, key_id: UUID | None, name: LimitName) -> tuple[Sequence[RateLimit], str]:
        """The limits of an owner, and its id."""
        if name.owner is LimitOwner.ORG:
            return self._shared_limits(None), str(self.org.org_id)
        if key_id is None:
            raise NotFoundError("no such key")
        key = self._key(key_id)
        if name.owner is LimitOwner.WORKSPACE:
            workspace_id = key.workspace_id or key.org_id
            return self._shared_limits(workspace_id), str(workspace_id)
        if name.owner is LimitOwner.KEY and not name.guardrail_id:
            return key.settings.rate_limits, str(key_id)
        for owner, guardrail in self._bound(key):
            if (owner, guardrail.guardrail_id) == (name.owner, name.guardrail_id):
                return guardrail.policy.rate_limits, _subject(owner, key)
        raise NotFoundError("no such limit")

    def _shared_limits(self, workspace_id: UUID | None) -> Sequence[RateLimit]:
        return [each.limit for each in self.org.rate_limits if each.workspace_id == workspace_id]

    def _key(self, key_id: UUID) -> ApiKey:
        key = self.keys.get(key_id)
        if key is None:
            raise NotFoundError("no such key")
        return key


def _subject(owner: LimitOwner, key: ApiKey) -> str:
    return str(key.key_id) if owner is LimitOwner.KEY else key.settings.creator_user_id


def _within(spend: Spend, interval: SpendInterval, now: datetime, *, with_byok: bool) -> int:
    return spend.within(interval, now.astimezone(UTC).date(), with_byok=with_byok)
