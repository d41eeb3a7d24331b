"""Rate limits that an organisation has as a whole, or for one of its workspaces, and the rules of setting them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from accounts.domain.errors import InvalidFieldError
from accounts.domain.key_settings import check_rate_limit
from contracts.rate_limits import RateLimit

MAX_ORG_LIMITS: Final = 100
_FIELD: Final = "rate_limits"


@dataclass(frozen=True, slots=True)
class OrgLimit:
    """A limit that all keys of a workspace share, or, where that is None, all of the organisation."""

    workspace_id: UUID | None
    limit: RateLimit


def checked_org_limits(limits: Sequence[OrgLimit]) -> tuple[OrgLimit, ...]:
    """Return limits, checked.

    Raises:
        InvalidFieldError: too many, two of one kind for the same keys, or an amount out of range.
    """
    if len(limits) > MAX_ORG_LIMITS:
        raise InvalidFieldError(_FIELD, f"must have at most {MAX_ORG_LIMITS} entries")
    kinds = set()
    for index, each in enumerate(limits):
        check_rate_limit(f"{_FIELD}[{index}]", each.limit)
        kind = (each.workspace_id, each.limit.quantity, each.limit.interval, each.limit.model)
        if kind in kinds:
            raise InvalidFieldError(f"{_FIELD}[{index}]", "is the second of its kind")
        kinds.add(kind)
    return tuple(limits)


def check_workspaces(limits: Sequence[OrgLimit], known: Collection[UUID]) -> None:
    """Check that each workspace is the organisation's.

    Raises:
        InvalidFieldError: one is not.
    """
    for index, each in enumerate(limits):
        if each.workspace_id is not None and each.workspace_id not in known:
            raise InvalidFieldError(f"{_FIELD}[{index}].workspace_id", "names no workspace of the organisation")
