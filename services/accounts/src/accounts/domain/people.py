"""People, what they may do in an organisation, and the rules of changing that."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final
from uuid import UUID

from accounts.domain.errors import ForbiddenError, InvalidFieldError

INVITATION_LIFE: Final = timedelta(days=7)
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_MAX_EMAIL: Final = 254


class Role(IntEnum):
    """What a member may do; the numbers are those of the wire, and a lower one may do more."""

    OWNER = 1
    ADMIN = 2
    BILLING = 3
    DEVELOPER = 4
    VIEWER = 5

    @property
    def administers(self) -> bool:
        """Whether the role may change members, keys and workspaces: `org:admin` at the public API."""
        return self <= Role.ADMIN


class ActorKind(IntEnum):
    """What kind of caller asks for a change; the numbers are those of the wire."""

    OPERATOR = 0
    KEY = 1
    USER = 2
    SYSTEM = 3
    """Accounts itself, for what nobody asks for at the moment; in no call."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks for a change. `id` is the key's or the user's; the operator of the installation has none."""

    kind: ActorKind = ActorKind.OPERATOR
    id: str = ""
    role: Role | None = None
    ip: str = ""
    request_id: str = ""

    def check_may_touch(self, *roles: Role) -> None:
        """Check that the caller may give or take these roles: owners are made and unmade by owners only.

        Raises:
            ForbiddenError: one is an owner, and the caller neither an owner nor the operator.
        """
        if self.kind is not ActorKind.OPERATOR and self.role is not Role.OWNER and Role.OWNER in roles:
            raise ForbiddenError("only an owner can change who is an owner")


OPERATOR: Final = Actor()
PAYMENT_PROVIDER: Final = Actor(ActorKind.SYSTEM, "payment-provider")
"""Who changes purchases by a signed statement."""
TOP_UPS: Final = Actor(ActorKind.SYSTEM, "top-ups")
"""Who buys credit where an organisation wants that without being asked."""


@dataclass(frozen=True, slots=True)
class User:
    """A person. `password_hash` is None for people who sign in elsewhere."""

    user_id: UUID
    email: str
    first_name: str | None
    last_name: str | None
    password_hash: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Member:
    """A person in an organisation."""

    org_id: UUID
    user: User
    role: Role
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Invitation:
    """An invitation, without its token."""

    invitation_id: UUID
    org_id: UUID
    email: str
    role: Role
    token_digest: str
    created_at: datetime
    expires_at: datetime


def checked_email(text: str) -> str:
    """Return an address in lower case.

    Raises:
        InvalidFieldError: it cannot be one.
    """
    email = text.strip().lower()
    if len(email) > _MAX_EMAIL or not email.isprintable() or _EMAIL.fullmatch(email) is None:
        raise InvalidFieldError("email", "must be an email address")
    return email


def checked_role(number: int) -> Role:
    """Return a role by its number on the wire.

    Raises:
        InvalidFieldError: there is none of it.
    """
    try:
        return Role(number)
    except ValueError:
        raise InvalidFieldError("role", "must be owner, admin, billing, developer or viewer") from None


def check_owner_remains(owners: int, before: Role, after: Role | None) -> None:
    """Check that the organisation keeps an owner (S13).

    Args:
        owners: how many it has.
        before: role of the member who changes.
        after: their new one; None when they leave.

    Raises:
        ForbiddenError: it would have none.
    """
    if before is Role.OWNER and after is not Role.OWNER and owners <= 1:
        raise ForbiddenError("the last owner of an organisation stays one: make somebody else an owner first")
