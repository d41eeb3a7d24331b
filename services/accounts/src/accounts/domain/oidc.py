"""Sign-in with an OpenID provider, as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class OidcFlow:
    """A sign-in under way: the browser was sent to the provider."""

    state_digest: str
    nonce: str
    code_verifier: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class OidcIdentity:
    """Whom the provider names. Accounts are known by issuer and subject, never by the address alone."""

    issuer: str
    subject: str
    email: str
    email_verified: bool
    first_name: str | None
    last_name: str | None
