"""Sessions, sign-in and codes as values, and the rules of them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Final
from uuid import UUID

from accounts.domain.accounts import Org
from accounts.domain.errors import ForbiddenError, InvalidFieldError
from accounts.domain.people import Role, User
from contracts.ids import BASE62
from contracts.spend import SpendInterval

SESSION_LIFE: Final = timedelta(days=30)
"""A session ends then at the latest."""
SESSION_IDLE: Final = timedelta(days=7)
"""A session that nobody uses ends after this."""
CODE_LIFE: Final = timedelta(minutes=10)
OIDC_FLOW_LIFE: Final = timedelta(minutes=10)
FAILURE_WINDOW: Final = timedelta(minutes=15)
MAX_ACCOUNT_FAILURES: Final = 10
MAX_IP_FAILURES: Final = 50
MIN_PASSWORD: Final = 12
MAX_PASSWORD: Final = 200
_TOKEN_LENGTH: Final = 43  # 256 random bits
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")


@dataclass(frozen=True, slots=True)
class Session:
    """A session that is alive."""

    session_id: UUID
    user: User
    org: Org | None
    role: Role | None
    expires_at: datetime
    memberships: Sequence[Membership]


@dataclass(frozen=True, slots=True)
class Membership:
    """A user's place in an organisation."""

    org_id: UUID
    org_name: str
    role: Role


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session to open."""

    session_id: UUID
    token_digest: str
    user_id: UUID
    method: str
    ip: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class AuthCode:
    """What a code gives: a key of an organisation, for the application that started the flow.

    `challenge` is what its verifier becomes by S256, whatever the method is: with "plain" the application's challenge is the verifier itself,
    which is not kept.
    """

    code_digest: str
    code_id: UUID
    org_id: UUID
    workspace_id: UUID
    user_id: str
    challenge: str | None
    challenge_method: str | None
    key_label: str
    limit: int | None
    limit_reset: SpendInterval
    key_expires_at: datetime | None
    created_at: datetime
    expires_at: datetime

    def check_verifier(self, verifier: str, method: str) -> None:
        """Check that the bearer is who started the flow (RFC 7636).

        Args:
            verifier: "" for none.
            method: as the bearer says it; "" says nothing.

        Raises:
            InvalidFieldError: the method is another one.
            ForbiddenError: the verifier does not fit the challenge.
        """
        if self.challenge is None:
            if verifier:
                raise ForbiddenError("the code was made without a challenge")
            return
        if method and method != self.challenge_method:
            raise InvalidFieldError("code_challenge_method", "is not the one that the code was made with")
        if not hmac.compare_digest(challenge_of(verifier).encode(), self.challenge.encode()):
            raise ForbiddenError("invalid code or code_verifier")


def challenge_of(verifier: str) -> str:
    """The S256 challenge of a verifier."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def checked_challenge(challenge: str, method: str) -> tuple[str | None, str | None]:
    """Return what is kept of a challenge (see `AuthCode`) and its method, both None for neither.

    Raises:
        InvalidFieldError: no challenge, or no method, that there can be.
    """
    if not challenge:
        if method:
            raise InvalidFieldError("code_challenge", "required with code_challenge_method")
        return None, None
    if method not in ("", "S256", "plain"):
        raise InvalidFieldError("code_challenge_method", "must be S256 or plain")
    if _CHALLENGE.fullmatch(challenge) is None:
        raise InvalidFieldError("code_challenge", "must be 43 to 128 unreserved characters")
    return (challenge, method) if method == "S256" else (challenge_of(challenge), "plain")


def checked_password(password: str, field: str = "password") -> str:
    """Return a password for an account.

    Raises:
        InvalidFieldError: too short or too long.
    """
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise InvalidFieldError(field, f"must have {MIN_PASSWORD} to {MAX_PASSWORD} characters")
    return password


def new_token(prefix: str, random: Random) -> str:
    """Make an opaque token of 256 random bits. `random` must be a cryptographic source outside tests."""
    return prefix + "".join(random.choices(BASE62, k=_TOKEN_LENGTH))
