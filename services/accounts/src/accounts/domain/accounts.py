"""Organisations and API keys as values, and the rules of their fields."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import IntEnum
from uuid import UUID

from accounts.domain.budgets import BudgetState
from accounts.domain.errors import InvalidFieldError, NotFoundError
from accounts.domain.key_settings import KeySettingChanges, KeySettings, checked_setting_changes
from accounts.domain.org_limits import OrgLimit
from contracts.spend import Spend

MAX_NAME_LENGTH = 100
MAX_PAGE = 100
# 1,000,000 dollars: far above any sensible limit or grant, far below what 64 bits hold.
MAX_AMOUNT_NANO = 10**15
_DIGEST = re.compile("[0-9a-f]{64}")


class KeyKind(IntEnum):
    """What a key may do; the numbers are those of the wire."""

    INFERENCE = 1
    MANAGEMENT = 2


class OrgStatus(IntEnum):
    """Whether an organisation may spend; the numbers are those of the wire."""

    ACTIVE = 1
    FROZEN = 2


@dataclass(frozen=True, slots=True)
class Org:
    """An organisation. `balance` is credit less settled usage, in nano-dollars; `revision` counts its changes.

    `byok_revision` counts the changes to its own provider keys; `byok_month_spent` is what it spent with them, at list
    price, in the month of `byok_month`.
    """

    org_id: UUID
    name: str
    status: OrgStatus
    balance: int
    credits: int
    usage: int
    settled_until: datetime | None
    revision: int
    budgets: tuple[BudgetState, ...] = ()
    byok_revision: int = 0
    byok_month: date = date(1970, 1, 1)
    byok_month_spent: int = 0
    rate_limits: tuple[OrgLimit, ...] = ()


@dataclass(frozen=True, slots=True)
class KeyBonds:
    """What binds a key besides its own settings.

    Attributes:
        guardrail_id: assigned to the key; empty for none.
        member_guardrail_id: assigned to the member who made it; empty for none.
        creator_spend: what all keys of that member spent; None where no guardrail needs it.
    """

    guardrail_id: str = ""
    member_guardrail_id: str = ""
    creator_spend: Spend | None = None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key without the key itself. Amounts in nano-dollars; `limit` None means none.

    `spent` is what it spent ever, `spend` the same and more by period, as of the moment it was read.
    """

    key_id: UUID
    org_id: UUID
    digest: str
    name: str
    label: str
    kind: KeyKind
    disabled: bool
    limit: int | None
    spent: int
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    revision: int
    settings: KeySettings = field(default=KeySettings())
    bonds: KeyBonds = field(default=KeyBonds())
    last_used_at: datetime | None = None
    spend: Spend = field(default=Spend())
    workspace_id: UUID | None = None
    """None is the default workspace, whose id is the organisation's."""
    lookup_digest: str = ""
    """Under a later pepper than that of `digest`: it is looked up by this instead. Empty for `digest`."""
    pepper_id: str = ""
    """Of the pepper that it is looked up under; empty for one from before this was noted."""

    @property
    def looked_up_by(self) -> str:
        """The digest by which it is found."""
        return self.lookup_digest or self.digest


@dataclass(frozen=True, slots=True)
class KeyFilter:
    """Which keys to list; `workspace_id` None and `creator_user_id` "" list those of all."""

    include_disabled: bool = False
    workspace_id: UUID | None = None
    creator_user_id: str = ""


@dataclass(frozen=True, slots=True)
class KeyChanges:
    """What to change about a key; None leaves it."""

    name: str | None = None
    disabled: bool | None = None
    limit: int | None = None
    clear_limit: bool = False
    settings: KeySettingChanges = field(default=KeySettingChanges())


def checked_name(name: str) -> str:
    """Return a name without blanks around it.

    Raises:
        InvalidFieldError: empty, too long, or with control characters.
    """
    return checked_text("name", name.strip(), 1, MAX_NAME_LENGTH)


def checked_limit(limit: int | None) -> int | None:
    """Return a limit.

    Raises:
        InvalidFieldError: negative or beyond a million dollars.
    """
    if limit is not None and not 0 <= limit <= MAX_AMOUNT_NANO:
        raise InvalidFieldError("limit", "must be between 0 and 1000000 dollars")
    return limit


def checked_id(field: str, text: str) -> UUID:
    """Read an id.

    Raises:
        InvalidFieldError: not a UUID.
    """
    try:
        return UUID(text)
    except ValueError:
        raise InvalidFieldError(field, "must be a UUID") from None


def checked_text(field: str, text: str, least: int, most: int) -> str:
    """Return a text of so many characters.

    Raises:
        InvalidFieldError: another length, or with control characters.
    """
    if not least <= len(text) <= most:
        raise InvalidFieldError(field, f"must have {least} to {most} characters")
    if not text.isprintable():
        raise InvalidFieldError(field, "must not have control characters")
    return text


def checked_digest(text: str) -> str:
    """Return the digest of a key.

    Raises:
        NotFoundError: no key can have it, because it is not 64 lower-case hexadecimal digits.
    """
    if _DIGEST.fullmatch(text) is None:
        raise NotFoundError("no such key")
    return text


def checked_page(offset: int, limit: int) -> tuple[int, int]:
    """Return where a page starts and how long it is; a limit of 0 means the most.

    Raises:
        InvalidFieldError: out of range.
    """
    if offset < 0:
        raise InvalidFieldError("offset", "must not be negative")
    if not 0 <= limit <= MAX_PAGE:
        raise InvalidFieldError("limit", f"must be between 0 and {MAX_PAGE}")
    return offset, limit or MAX_PAGE


def checked_changes(changes: KeyChanges) -> KeyChanges:
    """Return changes with their fields checked.

    Raises:
        InvalidFieldError: a field breaks its rule, or a limit is set and removed at once.
    """
    if changes.clear_limit and changes.limit is not None:
        raise InvalidFieldError("limit", "cannot be set and removed at once")
    return KeyChanges(
        name=None if changes.name is None else checked_name(changes.name),
        disabled=changes.disabled,
        limit=checked_limit(changes.limit),
        clear_limit=changes.clear_limit,
        settings=checked_setting_changes(changes.settings),
    )
