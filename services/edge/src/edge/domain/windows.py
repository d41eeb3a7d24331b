"""Which window of a rate limit is spent from, as accounts knows it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from contracts.rate_limits import RateLimit


class LimitOwner(StrEnum):
    """Whose a rate limit is."""

    ORG = "org"
    WORKSPACE = "workspace"
    KEY = "key"
    MEMBER = "member"


@dataclass(frozen=True, slots=True)
class Window:
    """The window of a rate limit that is open at accounts.

    Attributes:
        owner: whose limit it is.
        guardrail_id: that states the limit; empty for one of the owner's own.
        limit: itself; not one of concurrency.
    """

    owner: LimitOwner
    guardrail_id: str
    limit: RateLimit
